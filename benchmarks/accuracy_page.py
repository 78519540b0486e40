"""Write the dated page of an accuracy run: ours against the best peer, and the figures of every quantizer.

Usage: python benchmarks/accuracy_page.py RUN.json ... [--command "..."] > benchmarks/results/DATE-accuracy.md
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

OURS = "Intaglio"
ORIGINS = "Networks and data: [origins](../../docs/benchmark-data.md)."
GRANULARITIES = {"channel": "one scale per output channel (ours: `cpu-int8`)", "tensor": "one scale per weight tensor "
                 "(ours: `int8-per-tensor`)"}  # fmt: skip


def page(run: dict[str, Any], command: str) -> str:
    """Format the results of `accuracy_peers.py` as Markdown."""
    networks = list(run["networks"].values())
    named = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    lines = [
        f"# Accuracy beside other quantizers, {date.today().isoformat()}",
        "",
        f"{named}. `{command}`",
        "",
        ORIGINS,
        "",
        "8 bits, the same calibration samples for all, top-1 in percent. Ours is the integer program of",
        "`intaglio.quantize` without further options. ONNX Runtime: `quantize_static`, weights s8, activations u8,",
        "after its `quant_pre_process`. NNCF: `nncf.quantize` with its default preset, run by OpenVINO. AIMET:",
        'aimet-onnx\'s simulation, min-max, symmetric weights; "equalized": after its cross-layer equalization. Each',
        "peer had the file as it is and the graph as Intaglio prepares it (batch norm folded, one layout,",
        "`graph.save`); the best of all counts here. An empty cell was not measured.",
        "",
        '"As good": at least the best peer\'s top-1 less one standard error of it, `sqrt(p (100 - p) / n)`.',
        "",
    ]
    for per, title in GRANULARITIES.items():
        lines += [f"## {title[0].upper()}{title[1:]}", "", *_summary(networks, per), ""]
    lines += ["## Every row", ""]
    for network in networks:
        lines += [*_details(network), ""]
    return "\n".join(lines)


def merged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Merge several runs into one; rows of later runs replace those of earlier ones."""
    networks: dict[str, Any] = {}
    for run in runs:
        for title, network in run["networks"].items():
            rows = {**networks.get(title, {"rows": {}})["rows"], **network["rows"]}
            networks[title] = {**network, "rows": rows}
    return {**runs[-1], "networks": networks}


def _summary(networks: Sequence[dict[str, Any]], per: str) -> list[str]:
    heads = ("network", "test samples", "float", "ours", "best peer", "which", "peer rows", "one s.e.", "as good")
    heads += ("agreement, ours", "best agreement of a peer")
    lines = [_row(heads), _row(["---"] * len(heads))]
    for network in networks:
        ours, peers = _rows(network, per)
        best = max(peers, key=lambda row: row["top1"], default=None)
        if ours is None or best is None:
            continue
        error = _error(best["top1"], network["test"])
        agreement = max(peers, key=lambda row: row["agreement"])
        lines.append(
            _row(
                (
                    network["model"],
                    network["test"],
                    f"{network['float']:.2f}",
                    f"**{ours['top1']:.2f}**",
                    f"{best['top1']:.2f}",
                    f"{best['tool']}, {best['form']}",
                    len(peers),
                    f"{error:.2f}",
                    "yes" if ours["top1"] >= best["top1"] - error else "**no**",
                    f"{ours['agreement']:.2f} %",
                    f"{agreement['agreement']:.2f} % ({agreement['tool']}, {agreement['form']})",
                )
            )
        )
    return lines


def _details(network: dict[str, Any]) -> list[str]:
    """Format one network: a row per quantizer, a column per granularity and form; cells are `top-1 / agreement`."""
    kinds = [(per, form) for per in GRANULARITIES for form in ("as it is", "prepared")]
    lines = [
        f"**{network['model']}**: float {network['float']:.2f} on {network['test']} samples, standard error "
        f"{_error(network['float'], network['test']):.2f}; {network['calibration']} calibration samples; "
        "top-1 / agreement with float",
        "",
        _row(("quantizer", *(f"per {per}, {form}" for per, form in kinds))),
        _row(["---"] * (1 + len(kinds))),
    ]
    rows = list(network["rows"].values())
    reasons = []
    for tool in sorted({row["tool"] for row in rows}, key=lambda name: (name != OURS, name)):
        cells = []
        for per, form in kinds:
            row = next((r for r in rows if (r["tool"], r["per"], r["form"]) == (tool, per, form)), None)
            if row is None:
                cells.append("")
            elif "error" in row:
                cells.append("failed")
                reasons.append(f"{tool}, per {per}, {form}: {row['error']}")
            else:
                cells.append(f"{row['top1']:.2f} / {row['agreement']:.2f}")
        lines.append(_row((tool, *cells)))
    return [*lines, *(["", *reasons] if reasons else [])]


def _rows(network: dict[str, Any], per: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    found = [row for row in network["rows"].values() if row["per"] == per and "top1" in row]
    return next((r for r in found if r["tool"] == OURS), None), [r for r in found if r["tool"] != OURS]


def _error(percent: float, samples: int) -> float:
    return math.sqrt(percent * (100 - percent) / samples)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="+", help="results of accuracy_peers.py; several files are merged")
    parser.add_argument("--command", default="python benchmarks/accuracy_peers.py --limit 2000 --aimet PYTHON")
    args = parser.parse_args()
    print(page(merged([json.loads(path.read_text(encoding="utf-8")) for path in args.run]), args.command))


if __name__ == "__main__":
    main()
