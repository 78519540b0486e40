"""`intaglio sample`: write a small trained network with data, to try the other commands on."""

from __future__ import annotations

import argparse
from pathlib import Path

from intaglio.cli.endings import written
from intaglio.cli.foreign_files import refuse_foreign
from intaglio.cli.output import whole_folder
from intaglio.errors import UsageError
from intaglio.report.terminal_text import command, folded, next_steps
from intaglio.zoo.sample_networks import README_MARK, SAMPLES, write_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", choices=sorted(SAMPLES), help="the network")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the files")


def run(args: argparse.Namespace) -> int:
    """Write the network and its data, and print the command that quantizes it."""
    target = Path(args.output)
    others = [name for name in SAMPLES if name != args.name and (target / f"{name}.onnx").exists()]
    if others:
        raise UsageError(
            f"{target}: expected a folder without another sample, got that of {others[0]}; choose another -o"
        )
    with whole_folder(target) as folder:
        network = write_sample(args.name, folder).name
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        refuse_foreign(target, files, {"README.txt": README_MARK})
    words = ("--data", target / "calib.toml", "--eval", target / "test.toml", "-o", target / "out")
    print(folded(f"{SAMPLES[args.name].summary}."))
    print(written(target))
    print(next_steps([(command("intaglio", "quantize", target / network, *words), "integers, measured")]))
    return 0
