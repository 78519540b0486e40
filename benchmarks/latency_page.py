"""Write the dated page of a latency run: the setup, the ratios, and the figures of every engine.

Usage: python benchmarks/latency_page.py RUN.json > benchmarks/results/DATE-latency.md
"""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

WANTED = {  # the project's minimum ratios, by number of threads
    "mobilenet_v2": {1: 1.5, 2: 1.4},
    "resnet_18": {1: 1.0, 2: 1.0},
    "resnet_50": {1: 1.0, 2: 1.0},
    **{name: {1: 2.0, 2: 1.5} for name in ("mobilenet_v1", "resnet_8", "ds_cnn", "autoencoder")},
}


def page(run: dict[str, Any]) -> str:
    """Format the results of `latency.py --json` as Markdown."""
    results = run["results"]
    first = results[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    # NAME-7-g3f2a1b0-dirty: keep the commit
    lines = [
        f"# Latency, {date.today().isoformat()}",
        "",
        f"{first['processor']}, {first['processors']} processors, {first['system']}; machine {first['machine']}; "
        f"{run['compiler']}; {versions}; commit {re.sub(r'.*-g', '', run['commit'])}.",
        f"`{run['command']}`",
        "",
        "Batch 1. Ours takes and gives integers. The ratio is the time of the faster of ONNX Runtime int8 and OpenVINO",
        "int8, whichever ends it has, divided by ours, round by round: median (quartiles).",
        "[How it is measured](../../docs/bench.md).",
        "",
        *_summary(results),
        "",
    ]
    for result in results:
        lines += _details(result)
    return "\n".join(lines)


def _summary(results: list[dict[str, Any]]) -> list[str]:
    threads = sorted({row["threads"] for result in results for row in result["rows"]})
    heads = ["network", "MMAC"]
    for n in threads:
        plural = "s" * (n > 1)
        heads += [f"ours, {n} thread{plural}", "best peer", "ratio", "wanted"]
    heads += ["bit-exact", "compiled in", "arena"]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for result in results:
        cells = [result["title"], f"{result['macs'] / 1e6:.1f}"]
        for n in threads:
            own = [r for r in result["rows"] if (r["engine"], r["ends"], r["threads"]) == ("intaglio", "integers", n)]
            quoted = next((q for q in result["quoted"] if q["threads"] == n), None)
            cells.append(_time(own[0]["median_ns"]) if own else "-")
            cells += ["-", "-"] if quoted is None else [quoted["peer"], _ratio(quoted["ratio"])]
            cells.append(str(WANTED.get(result["model"], {}).get(n, "-")))
        seconds = result["compile_seconds"]
        cells += ["yes" if result["exact"] else "NO", "-" if seconds is None else f"{seconds:.1f} s"]
        lines.append(_row([*cells, f"{result['arena_bytes']:,} B"]))
    return lines


def _details(result: dict[str, Any]) -> list[str]:
    heads = ["engine", "ends", "threads", "median", "quartiles", "times ours with the same ends"]
    lines = [f"## {result['title']}", "", _row(heads), _row(["---"] * len(heads))]
    for row in result["rows"]:
        quartiles = " to ".join(map(_time, row["quartiles_ns"]))
        ratio = "-" if row["ratio"] is None else _ratio(row["ratio"])
        name = f"{row['engine']} {row['precision']}"
        lines.append(_row([name, row["ends"], str(row["threads"]), _time(row["median_ns"]), quartiles, ratio]))
    lines += ["", *(f"{name} not timed: {why}" for name, why in result["absent"].items())]
    for profile in result["profiles"]:
        lines += _profile(profile)
    return [*lines, ""]


def _profile(profile: dict[str, Any]) -> list[str]:
    peak = "" if profile["peak"] is None else f"; peak {profile['peak'] / 1e9:.0f} G multiply-adds a second"
    heads = ["step", "operators", "µs", "% of time", "MAC", "% of peak"]
    lines = ["", f"Threads: {profile['threads']}{peak}.", "", _row(heads), _row(["---"] * len(heads))]
    for step in profile["steps"]:
        share = "-" if step["of_peak"] is None else f"{100 * step['of_peak']:.0f}"
        time = f"{step['nanoseconds'] / 1e3:.1f}"
        cells = [step["name"], step["kind"], time, f"{100 * step['share']:.1f}", f"{step['macs']:,}", share]
        lines.append(_row(cells))
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _time(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e6:.3f} ms" if nanoseconds >= 1e6 else f"{nanoseconds / 1e3:.1f} µs"


def _ratio(values: list[float]) -> str:
    return f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})"


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text())))
