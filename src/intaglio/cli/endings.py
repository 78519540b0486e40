"""What the commands say at their end: the files that they wrote, and the commands to run next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intaglio.report.facts import SCALES_OF_FILE
from intaglio.report.terminal_text import command, folded, next_steps

ACCEPTABLE = 1.0
"""Loss of top1 or top5 against float, in points, from which on a search is suggested."""


def written(folder: Path) -> str:
    """List the files in an output folder."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return folded(", ".join(names), f"written to {folder}: ", "  ")


def after_quantization(
    folder: Path,
    summary: Mapping[str, Any],
    *,
    model: str,
    data: str,
    eval_data: str | None,
    target: str,
    options: Sequence[str] = (),
    searched: bool = False,
) -> str:
    """Say what to do with the files of `quantize` or `train`.

    Args:
        folder: the output folder.
        summary: the content of summary.json.
        model, data, eval_data, target: arguments of the command.
        options: how pictures are prepared.
        searched: whether the command has searched or trained already.
    """
    program = folder / "model.intaglio"
    words: tuple[str | Path, ...]
    machine = ("--machine", "cortex-m4") if target == "mcu-int8" else ()
    steps = [(command("intaglio", "compile", program, *machine, "-o", folder / "c"), "C code, built and tested")]
    if Path(eval_data or data).exists() and sum(value["operator"] == "input" for value in summary["values"]) == 1:
        words = ("--app", eval_data or data, *options, "-o", folder / "app")
        steps.append(
            (command("intaglio", "compile", program, *machine, *words), "the same, and a program that reads a file")
        )
    theirs = str(summary["target"]).endswith(SCALES_OF_FILE)  # quantized by another tool: there is no float network
    peers = ("--float", model) if Path(model).suffix == ".onnx" and Path(model).exists() and not theirs else ()
    steps.append((command("intaglio", "bench", program, *peers), "latency beside other engines"))
    if eval_data is None:
        steps.append(
            (command("intaglio", "evaluate", program, "--data", "LABELLED", *options), "accuracy on labelled data")
        )
    elif not searched and not theirs and _loss(summary) > ACCEPTABLE:
        words = ("--data", data, "--eval", eval_data, *options, "--target", target, "--max-drop", "1", "-o", folder)
        steps.insert(0, (command("intaglio", "quantize", model, *words), "search for a recipe that loses less"))
    report = folded(f"report: open {folder / 'report.html'} in a browser: every value, its format, noise and reason")
    return f"{report}\n{next_steps(steps)}"


def _loss(summary: Mapping[str, Any]) -> float:
    """Return the loss of top1 or top5 in points; 0 for other metrics and without a score."""
    real, integer = summary.get("float"), summary.get("integer")
    if not real or not integer or not str(real["metric"]).startswith("top"):
        return 0.0
    return float(real["value"] - integer["value"])
