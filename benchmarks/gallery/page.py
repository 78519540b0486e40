"""Write the page of results: totals, reasons, and a row for each network, exporter and target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from typing import Any

from gallery.stages import CHEAPEST, LEAST_SQNR

Row = dict[str, Any]
LOW = 6.0
"""dB; a program at or below it has a mark in its row."""

WHY_LOW = {
    "spectrum_cnn": "The logarithm of a power: 8 bits tell 255 powers apart, linearly, and the small ones "
    "decide; 16-bit activations give 10 to 18 dB.",
    "pose_soft_argmax": "A softmax over 256 places has values near its step of 1/256; 16-bit activations give 20 dB.",
    "siamese_cosine": "One number, which hardly varies, and test inputs beyond those of 8 calibration samples; "
    "32 samples give 12 dB.",
    "experts": "Test inputs beyond those of 8 calibration samples; 32 samples give 25 dB.",
    "melspectrogram": "The logarithm of energies of a spectrum, which span more than 16 bits: compute such a spectrum "
    "outside of the network.",
    "ppocr_v4_det": "Activations of 8 bits; with 16 bits (int16x8) the same network has 27 dB.",
    "cross_net": "Powers of test inputs beyond those of 8 calibration samples; 32 samples give 19 dB.",
}
"""Causes of low ratios that were looked into, by network."""

TRAINED, LOW_TRAINED = "trained, packaged", 20.0
"""The field of trained networks, and the ratio at or below which their cause is told, in dB."""

OWN_STAGES = ("build", "export")
"""Stages before Intaglio reads anything: what fails there is no failure of Intaglio."""

HEAD = """# Coverage: common networks from PyTorch to C

How far common networks get with Intaglio: image classification, detection, segmentation, restoration, generators,
signals, speech, text, tables, graphs and video. `python benchmarks/coverage.py` writes this page (extra `gallery`).

Each network is built at a small size with random weights of sane statistics (`benchmarks/gallery/initialize.py`),
exported to ONNX by both of PyTorch's exporters (`torch.onnx.export(dynamo=True)`: dynamo; `dynamo=False`: script),
loaded, quantized, lowered, run in the interpreter, compiled, and run as native code. The recipe is the
cheapest one ({recipe}), on {samples} random samples, since
the page counts what gets through; [accuracy](accuracy.md) measures trained networks. Files of the field "trained,
packaged" are trained networks out of public packages, with the default recipe, on random inputs too.

- stage: `native` means that every stage passed: the compiled program gives the interpreter's integers, and what was
  loaded computes what ONNX Runtime does, within {least:g} dB. Else it is the stage that failed, and the number of
  the reason below the table. `build` and `export` are PyTorch's own: there was no file for Intaglio to read, or one
  that ONNX Runtime cannot run. `native + tail`: post-processing was cut off and runs in float behind the program.
- simulation, program: signal-to-quantization-noise ratio of the outputs in dB, against ONNX Runtime on the float file.
  Signal is what varies; an output that hardly varies has a low ratio. ▼ marks {low:g} dB or less.
- seconds and MB: of the process from `load` on, with its limits of time and memory; about {base:,} MB are imported
  libraries.

{date}, {versions}; {commits}.
"""


def page(rows: Sequence[Row]) -> str:
    """Format all results.

    Args:
        rows: as `coverage.py` writes them.
    """
    versions = ", ".join(f"{name} {version}" for name in VERSIONS if (version := _version(name)))
    head = HEAD.format(
        recipe=", ".join(f"`{key}={value!r}`" for key, value in CHEAPEST.items()),
        samples=_samples(rows),
        least=LEAST_SQNR,
        low=LOW,
        base=min((row["megabytes"] for row in rows if row["megabytes"]), default=0),
        date=date.today().isoformat(),
        versions=versions,
        commits=_commits(rows),
    )
    lines = [head, "## Totals", "", *_totals(rows), "", "## What stops the others", "", *_blockers(rows), ""]
    for field in dict.fromkeys(row["field"] for row in rows):
        lines += _field(field, [row for row in rows if row["field"] == field])
    return "\n".join(lines)


def _samples(rows: Sequence[Row]) -> str:
    """How many samples calibrated."""
    return " or ".join(map(str, sorted({row["samples"] for row in rows})))


def _commits(rows: Sequence[Row]) -> str:
    """Commits of Intaglio at which the rows were measured."""
    counts = Counter(row["commit"] for row in rows)
    if len(counts) == 1:
        return f"commit {next(iter(counts))}"
    return "commits " + ", ".join(f"{commit} ({count} rows)" for commit, count in counts.items())


VERSIONS = ("torch", "torchvision", "timm", "transformers", "onnx", "onnxruntime")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _totals(rows: Sequence[Row]) -> list[str]:
    """Count by exporter and target."""
    groups = dict.fromkeys((row["exporter"], row["target"]) for row in rows)
    heads = [
        "exporter",
        "target",
        "networks",
        "exported",
        "native",
        "of the exported",
        "median program SQNR",
        f"≤ {LOW:g} dB",
    ]
    lines = [heads, ["---"] * len(heads)]
    for exporter, target in groups:
        own = [row for row in rows if (row["exporter"], row["target"]) == (exporter, target)]
        read = [row for row in own if row["stage"] not in OWN_STAGES]
        done = [row for row in read if row["stage"] == "native"]
        ratios = sorted(row["program"] for row in done)
        cells = [exporter, target, len(own), len(read), len(done), f"{100 * len(done) / max(1, len(read)):.0f} %"]
        middle = f"{ratios[len(ratios) // 2]:.1f} dB" if ratios else ""
        lines.append([*map(str, cells), middle, str(sum(ratio <= LOW for ratio in ratios))])
    return [_line(cells) for cells in lines]


def _blockers(rows: Sequence[Row]) -> list[str]:
    """Count the reasons at the target that all networks are driven for, in words that networks share."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["target"] == "cpu-int8" and row["stage"] not in (*OWN_STAGES, "native"):
            found.setdefault(kind(row["reason"]), []).append(row["network"])
    counted = sorted(found.items(), key=lambda item: (-len(set(item[1])), item[0]))
    lines = [["networks", "reason", "which"], ["---"] * 3]
    for reason, names in counted:
        lines.append([str(len(set(names))), reason, ", ".join(dict.fromkeys(names))])
    return [_line(cells) for cells in lines]


def kind(reason: str) -> str:
    """Shorten a reason to what it has in common with others: the operator and the text, without names and numbers."""
    first = next(
        (line.strip() for line in reason.splitlines()[1:] if "[" in line), reason.splitlines()[0] if reason else ""
    )
    text = re.sub(r"^\w+Error: ", "", first)
    text = re.sub(r"\[(\w+) [^\]]*\]", r"\1", text)
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|/\S+", "…", text)
    return re.sub(r"-?\d[\d,.x]*", "N", text)[:140]


def _field(field: str, rows: Sequence[Row]) -> list[str]:
    heads = ["network", "exporter", "target", "operators", "stage", "simulation", "program", "seconds", "MB"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    notes: dict[str, list[str]] = {}
    for row in rows:
        number = ""
        limit = LOW_TRAINED if row["field"] == TRAINED else LOW
        low = row["stage"] == "native" and row["program"] <= limit
        reason = row["reason"] or (WHY_LOW.get(row["network"], "") if low else "")
        if reason:
            text = _plain(reason)
            notes.setdefault(text, []).append(row["network"])
            number = f" ({list(notes).index(text) + 1})"
        ratios = [_ratio(row.get("simulation")), _ratio(row.get("program"))]
        cells = [row["network"], row["exporter"], row["target"], str(row.get("operators", "")), _stage(row) + number]
        lines.append(_line([*cells, *ratios, f"{row['seconds']:.1f}", str(row["megabytes"])]))
    reasons = [f"{i + 1}. {text}" for i, text in enumerate(notes)]
    return [f"## {field[0].upper()}{field[1:]}", "", *lines, "", *reasons, ""]


def _stage(row: Row) -> str:
    return "native + tail" if row["stage"] == "native" and row.get("tail") else row["stage"]


def _plain(reason: str) -> str:
    """A reason as one line of Markdown."""
    text = " ".join(reason.split())
    text = re.sub(r"/\S*/", "…/", text)
    return re.sub(r"([|<>*_`])", r"\\\1", text[:300] + ("…" if len(text) > 300 else ""))


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}{' ▼' if value <= LOW else ''}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("\n", " ") for cell in cells) + " |"
