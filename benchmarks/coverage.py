"""Drive common networks from PyTorch to compiled programs, and write a page of how far each came.

python benchmarks/coverage.py                                  every network, then docs/coverage.md
python benchmarks/coverage.py --shard 1/4 --page ''            a fourth of the work, without the page
python benchmarks/coverage.py --networks 'resnet*,bert' --page ''

Install the extra `gallery` first (torchvision, timm, transformers, ONNX Runtime); networks whose package is absent are
left out. Nothing is downloaded: the weights are random, seeded and have sane statistics (`gallery/initialize.py`).
Each network runs in a process of its own, with limits of time and memory. Every result is a line of JSON in the folder
`--work`, and is not computed again, except what failed with `--again`; the exported files stand there too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gallery import networks, packaged
from gallery.exporting import CALIBRATION, EXPORTERS, case, data_file, export, model_file
from gallery.isolated import run
from gallery.network import Network
from gallery.page import page
from gallery.stages import drive

DEFAULT = "cpu-int8"
TARGETS = (DEFAULT, "mcu-int8", "tflite-int8", "int16x8")
EVERY = 3
"""One network of so many is driven for all targets, exported by the first exporter."""

SECONDS, MEGABYTES = 600.0, 4000
PACKAGED = "as packaged"
PRELOADED = (
    "torch", "torch._dynamo", "onnxruntime", "onnxscript", "onnx_ir", "torchvision", "timm", "transformers",
    "intaglio.api", "intaglio.codegen.native",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One row: a network or the path of a packaged file, its exporter, and the target."""

    subject: Network | Path
    exporter: str
    target: str

    @property
    def key(self) -> dict[str, str]:
        """What tells the row from others."""
        network = self.subject
        own = (network.name, network.field) if isinstance(network, Network) else (network.stem, "trained, packaged")
        return {"network": own[0], "field": own[1], "exporter": self.exporter, "target": self.target}


def jobs(
    chosen: Sequence[Network], files: Sequence[Path], exporters: Sequence[str], targets: Sequence[str]
) -> list[Job]:
    """List all rows, those of one network behind one another."""
    found = []
    for i, network in enumerate(chosen):
        for exporter in exporters:
            wide = i % EVERY == 0 and exporter == next(iter(EXPORTERS))
            found += [Job(network, exporter, target) for target in targets if wide or target == DEFAULT]
    return found + [
        Job(path, PACKAGED, target) for path in files for target in targets if target in (DEFAULT, "int16x8")
    ]


def perform(job: Job, folder: Path, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> dict[str, Any]:
    """Compute a row; a network that has not been exported yet is exported first, in a process of its own."""
    network, limits = job.subject, {"seconds": seconds, "megabytes": megabytes}
    row: dict[str, Any] = {**job.key, "stage": "build", "reason": "", "seconds": 0.0, "megabytes": 0}
    if isinstance(network, Network):
        path = model_file(folder, network.name, job.exporter)
        if not path.exists() or not data_file(folder, network.name).exists():
            made = run(partial(export, network, job.exporter, folder), **limits)
            if made.failure:
                path.unlink(missing_ok=True)
                return row | made.told | {"reason": made.failure}
        found = run(lambda tell: drive(case(network, job.exporter, folder), job.target, tell), **limits)
    else:
        found = run(lambda tell: drive(packaged.case(network), job.target, tell), **limits)
    measured = {"reason": found.failure, "seconds": round(found.seconds, 1), "megabytes": found.megabytes}
    return row | {"stage": "export"} | found.told | measured


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Read the results of all shards; of several of one key, the last."""
    found = {}
    paths = sorted(folder.glob("results*.jsonl"), key=lambda path: path.stat().st_mtime)
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found[row["network"], row["exporter"], row["target"]] = row
    yield from found.values()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Drive common networks to compiled programs; see the file's head.")
    parser.add_argument(
        "--work", type=Path, default=Path("build/coverage"), help="folder of exported files and results"
    )
    parser.add_argument(
        "--shard", default="1/1", metavar="I/N", help="compute only every N-th network, from the I-th on"
    )
    parser.add_argument("--networks", default="*", help="names or patterns, with commas between them")
    parser.add_argument("--exporters", default=",".join(EXPORTERS), help="with commas between them")
    parser.add_argument("--targets", default=",".join(TARGETS), help="with commas between them")
    data = Path(os.environ.get("INTAGLIO_DATA", "../shared/data")) / "packaged"
    parser.add_argument("--packaged", type=Path, default=data, help="folder of trained .onnx files")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of one row")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="limit of one row's memory")
    parser.add_argument("--again", action="store_true", help="compute again what failed before")
    parser.add_argument("--page", default="docs/coverage.md", help="where to write the page; '' for nowhere")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Run what has no result yet, then write the page."""
    chosen = arguments(given)
    patterns = chosen.networks.split(",")

    def wanted(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    index, count = map(int, chosen.shard.split("/"))
    files = [path for path in sorted(chosen.packaged.glob("*.onnx")) if wanted(path.stem)]
    every = [network for network in networks() if find_spec(network.package)]
    exporters, targets = chosen.exporters.split(","), chosen.targets.split(",")
    todo = [job for job in jobs(every, files, exporters, targets) if wanted(job.key["network"])]
    subjects = list(dict.fromkeys(job.key["network"] for job in todo))[
        index - 1 :: count
    ]  # a network stays in one shard
    todo = [job for job in todo if job.key["network"] in subjects]
    chosen.work.mkdir(parents=True, exist_ok=True)
    known = {
        (row["network"], row["exporter"], row["target"])
        for row in rows(chosen.work)
        if row["stage"] == "native" or not chosen.again
    }
    todo = [job for job in todo if tuple(job.key[k] for k in ("network", "exporter", "target")) not in known]
    commit = _commit()
    if todo:
        _preload()
    with (chosen.work / f"results-{index}-{count}.jsonl").open("a", encoding="utf-8") as out:
        for i, job in enumerate(todo):
            row = perform(job, chosen.work, chosen.seconds, chosen.megabytes) | {
                "commit": commit,
                "samples": CALIBRATION,
            }
            out.write(json.dumps(row) + "\n")
            out.flush()
            name = " ".join(job.key[k] for k in ("network", "exporter", "target"))
            print(f"{i + 1}/{len(todo)} {name}: {row['stage']} {row['reason'][:150]}", file=sys.stderr, flush=True)
    if chosen.page:
        order = {network.name: i for i, network in enumerate(every)}
        found = sorted(rows(chosen.work), key=lambda row: order.get(row["network"], len(order)))
        Path(chosen.page).write_text(page(found), encoding="utf-8")


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _preload() -> None:
    """Import once what every process needs; they are forked."""
    for name in PRELOADED:
        if find_spec(name.partition(".")[0]):
            import_module(name)
    import_module("torch").set_num_threads(1)


if __name__ == "__main__":
    main()
