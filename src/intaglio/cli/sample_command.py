"""`intaglio sample`: write a small trained network with data, to try the other commands on."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from intaglio.cli.output import whole_folder
from intaglio.zoo.sample_networks import SAMPLES, write_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", choices=sorted(SAMPLES), help="the network")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the files")


def run(args: argparse.Namespace) -> int:
    """Write the network and its data, and print the command that quantizes it."""
    target = Path(args.output)
    with whole_folder(target) as folder:
        network = write_sample(args.name, folder).name
        names = sorted(path.name for path in folder.iterdir())
    model, calib, test, out = (shlex.quote(str(target / name)) for name in (network, "calib.toml", "test.toml", "out"))
    print(f"{SAMPLES[args.name].summary}.")
    print(f"written to {target}: {', '.join(names)}")
    print(f"next: intaglio quantize {model} --data {calib} --eval {test} -o {out}")
    return 0
