"""Write the dated page of a run of `training.py`.

Usage: python benchmarks/training_page.py RUN.json [--command "..."] > benchmarks/results/DATE-training.md
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any


def page(run: dict[str, Any], command: str) -> str:
    """Format the results of `training.py` as Markdown."""
    named = ", ".join(f"{name} {version or 'missing'}" for name, version in run["versions"].items())
    samples = run["limit"] or 10_000
    heads = ("tool", "top-1", "scored", "step / float step", "memory / float", "training, s")
    lines = [
        f"# Training with quantization beside other tools, {date.today().isoformat()}",
        "",
        f"{named}; {run['threads']} threads. `{command}`",
        "Networks and data: [origins](../../docs/benchmark-data.md).",
        "",
        f"ResNet-20 on CIFAR-10 from its trained float weights, {run['steps']} steps of {run['batch']} samples, the",
        "same batches, optimizer and learning rates for all, float32, eager mode. Top-1 in percent of",
        f"{samples} test images: of ours the integer program's, of the others their simulation's. A step is the median",
        "of six, all contenders taking turns; memory is what three steps add to a process that holds the network.",
        "",
    ]
    for formats, found in run["formats"].items():
        lines += [f"## {formats}", "", _row(*heads)]
        lines.append(_row(*["---"] * len(heads)))
        for name, row in found["rows"].items():
            lines.append(
                _row(
                    name,
                    f"{row['top1']:.2f}",
                    row["engine"],
                    _ratio(found["step"], name),
                    _ratio(found["memory"], name),
                    f"{row['seconds']:.0f}",
                )
            )
        lines.append("")
    return "\n".join(lines)


def _ratio(values: dict[str, float], name: str) -> str:
    return f"{values[name] / values['float']:.2f}" if name in values and "float" in values else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", default="python benchmarks/training.py")
    args = parser.parse_args()
    print(page(json.loads(args.run.read_text()), args.command))


if __name__ == "__main__":
    main()
