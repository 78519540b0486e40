"""Measure the gain of training below eight bits and of each method in one short training, with `intaglio train`.

Usage: python benchmarks/training_figures.py [--rows formats,methods] [--data $INTAGLIO_DATA] [-o OUT] [--measured]

Writes OUT/NAME for each row (existing rows are not trained again) and prints the page for benchmarks/results. The
trainings start from the float networks of the data folder, on CIFAR-10. Results are top-1 of the integer program on
the 10,000 test images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from intaglio.bench.comparison import processor

COMMON = "--augment crop,flip"
TEACHER = "--teacher float --temperature 2 --distill-features"
LONG = "--compile --quantizer-lr 1 --reestimate-batch-norm 50"
SHORT = "--steps 80 --batch 64 --lr 0.03 --quantizer-lr 1 --eval-limit 4000"
DESCRIPTORS = {"resnet20_bn": "-resnet20", "mobilenetv2": ""}


@dataclass(frozen=True)
class Row:
    """One training run.

    Args:
        name: name of its folder.
        title: display name.
        network: file in the data folder.
        target: target of the quantization.
        options: options of `intaglio train`.
        allowed: the maximum drop in points, if one is requested.
    """

    name: str
    title: str
    network: str
    target: str
    options: str
    allowed: float | None = None


FORMATS = (
    Row("power2", "ResNet-20 int8, powers of two per tensor", "resnet20_bn", "power2-int8",
        f"--steps 150 --lr 0.002 --compile {TEACHER} 5", 0.0),
    Row("mobilenetv2", "MobileNetV2 int8 per tensor", "mobilenetv2", "int8-per-tensor",
        f"--steps 60 --lr 0.0005 --freeze-batch-norm 0 {TEACHER} 5", 0.3),
    Row("w4a4", "ResNet-20 w4a4", "resnet20_bn", "w4a4", f"--steps 400 --lr 0.01 {LONG} {TEACHER} 5", 0.8),
    Row("w2a8", "ResNet-20 w2a8", "resnet20_bn", "w2a8", f"--steps 2000 --lr 0.02 {LONG} {TEACHER} 5", 1.5),
    Row("ternary", "ResNet-20 ternary weights, 8-bit activations", "resnet20_bn", "ternary",
        f"--steps 2000 --lr 0.02 {LONG} {TEACHER} 5", 1.5),
    Row("w2a2", "ResNet-20 w2a2", "resnet20_bn", "w2a2",
        f"--steps 12000 --lr 0.02 --final-lr 0.001 {LONG} --weight-decay 2.5e-5 {TEACHER} 3 --held-back 0", 3.0),
    Row("binary", "ResNet-20 binary weights, 8-bit activations", "resnet20_bn", "binary",
        f"--steps 700 --lr 0.02 {LONG} {TEACHER} 10", 4.0),
    Row("xnor", "ResNet-20 binary weights, 1-bit data of products", "resnet20_bn", "xnor",
        f"--steps 700 --lr 0.003 --optimizer adamw {LONG} {TEACHER} 30"),
)  # fmt: skip


def _method(
    name: str, options: str, target: str = "w2a2", teacher: str = f"{TEACHER} 10", title: str | None = None
) -> Row:
    """Make a row of the methods' table; the default title shows its options, and its target unless w2a2."""
    title = title or f"`{options}`" + ("" if target == "w2a2" else f", target {target}")
    return Row(f"method-{name}", title, "resnet20_bn", target, " ".join(f"{SHORT} {teacher} {options}".split()))


METHODS = (
    Row("method-none", "no training: the calibrated start", "resnet20_bn", "w2a2",
        "--steps 1 --lr 1e-9 --eval-limit 4000"),
    _method("lsq", "--method lsq"),
    _method("range", "--method range"),
    _method("tqt", "--method tqt"),
    _method("pact", "--method pact"),
    _method("dorefa", "--method dorefa"),
    _method("straight-through", "--estimator straight-through"),
    _method("dsq", "--estimator dsq"),
    _method("stochastic", "--estimator stochastic"),
    _method("gumbel", "--estimator gumbel"),
    _method("proxquant", "--estimator proxquant"),
    _method("weights", "--gradual weights"),
    _method("noise", "--gradual noise"),
    _method("layers", "--gradual layers"),
    _method("slow-scales", "--quantizer-lr 0.1"),
    _method("labels", "", teacher="", title="no teacher"),
    _method("scores", "", teacher="--teacher float --temperature 2", title="the teacher's scores, not its features"),
    _method("adamw", "--optimizer adamw --lr 0.003"),
    _method("ternary-lsq", "--method lsq", "ternary"),
    _method("ternary-twn", "--weight-method twn", "ternary"),
    _method("binary-lsq", "--method lsq", "binary"),
    _method("binary-xnor", "--weight-method xnor", "binary"),
    _method("w4-lsq", "--method lsq", "w4a8"),
    _method("w4-ttq", "--weight-method ttq", "w4a8"),
)  # fmt: skip
GROUPS = {"formats": FORMATS, "methods": METHODS}


def train(row: Row, data: Path, out: Path) -> dict[str, Any]:
    """Return the summary of a row; train it first if it is missing."""
    folder, suffix = out / row.name, DESCRIPTORS[row.network]
    if not (folder / "summary.json").exists():
        command = [sys.executable, "-m", "intaglio", "train", data / f"{row.network}.onnx", "-o", folder]
        command += ["--data", data / f"train{suffix}.toml", "--eval", data / f"test{suffix}.toml"]
        command += ["--target", row.target, *COMMON.split(), *row.options.split()]
        subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def line(row: Row, found: dict[str, Any]) -> str:
    """Format a row of the page."""
    drop = found["float"]["value"] - found["integer"]["value"]
    cells = [
        row.title,
        f"{found['float']['value']:.2f}",
        f"**{found['integer']['value']:.2f}**",
        f"{drop:.2f}",
        "" if row.allowed is None else f"{row.allowed:.1f}",
        f"{found['agreement']['simulated and integer']:.2f}",
        f"{found['seconds']['train']:.0f}",
        f"{found['peak_memory_bytes'] / 2**20:.0f}",
        f"`{row.options}`",
    ]
    return f"| {' | '.join(cells)} |"


def page(groups: Sequence[str], data: Path, out: Path, *, measured: bool = False) -> str:
    """Format the page as Markdown; with `measured`, only of existing rows."""
    heads = (
        "row",
        "float",
        "integer",
        "drop",
        "at most",
        "simulated = integer, %",
        "training, s",
        "peak MiB",
        "options",
    )
    lines = [
        f"# What training gains, {date.today().isoformat()}",
        "",
        f"`python benchmarks/training_figures.py`: `intaglio train` with `{COMMON}` and the options of each row,",
        "from a calibrated start. Top-1 in percent of the integer program on the 10,000 test images of CIFAR-10",
        f"(methods: the first 4,000). torch {torch.__version__}, {processor()}, {torch.get_num_threads()} threads.",
        "Networks and data: [origins](../../docs/benchmark-data.md).",
        "",
    ]
    for group in groups:
        lines += [f"## {group.capitalize()}", "", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
        rows = [row for row in GROUPS[group] if not measured or (out / row.name / "summary.json").exists()]
        lines += [line(row, train(row, data, out)) for row in rows]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Train the missing rows and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="formats,methods", help="comma-separated: formats, methods")
    parser.add_argument("--data", default=os.environ.get("INTAGLIO_DATA", "../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("build/training-figures"))
    parser.add_argument("--measured", action="store_true", help="train nothing; use existing rows only")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    print(page(args.rows.split(","), Path(args.data) / "cifar10", args.output, measured=args.measured))


if __name__ == "__main__":
    main()
