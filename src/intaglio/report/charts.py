"""Data of the page's interactive plots: rounded numbers and cleaned names, drawn by `templates/plots.js`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from intaglio.report import words
from intaglio.report.facts import ActivationHistogram, ChannelRanges, Confusion, Facts, plain, rounded
from intaglio.report.value_rows import ValueRow

if TYPE_CHECKING:  # PyTorch is behind it
    from intaglio.plan import Step

MOST_CLASSES = 24  # largest confusion matrix that is still readable
MOST_BARS = 400
MOST_POINTS = 600
LABEL = 40  # most characters of a label beside a plot
PASSES = "graph"
"""`Step.algorithm` of the graph passes that prepare the float network."""


def charts(facts: Facts, rows: Sequence[ValueRow]) -> dict[str, Any]:
    """Return one entry for each plot that has data."""
    numbers = {row.name: row.number for row in rows}
    all_charts = {
        "training": _training(facts),
        "steps": _steps(facts),
        "sensitivity": _sensitivities(facts),
        "weights": [_weights(layer) for layer in facts.channels],
        "activations": _activations(facts, numbers),
        "costs": [[words.clean(c.name), words.clean(c.operator), c.macs, c.input_sums] for c in facts.costs if c.macs][
            :MOST_BARS
        ],
        "confusion": None if facts.confusion is None else _confusion(facts.confusion),
    }
    return {name: chart for name, chart in all_charts.items() if chart}


def as_script(data: dict[str, Any]) -> str:
    """Serialize as JSON for a script element: angle brackets are escaped, so that names cannot open or close a tag."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _training(facts: Facts) -> dict[str, Any] | None:
    """Return step, epoch, loss, learning rate and score of each point, thinned out except for points with a score."""
    if not facts.training:
        return None
    every = -(-len(facts.training) // MOST_POINTS)
    shown = [p for i, p in enumerate(facts.training) if i % every == 0 or p.score is not None]
    points = [[p.step, plain(p.epoch), plain(p.loss), plain(p.lr), plain(p.score)] for p in shown]
    return {"score": facts.training[-1].scored, "points": points}


def _steps(facts: Facts) -> list[dict[str, Any]]:
    """Return the measured steps, one list of points for each metric."""
    from intaglio.plan.step import SQNR  # PyTorch is behind it

    done = list(
        enumerate((step for step in facts.steps if step.algorithm != PASSES), start=1)
    )  # numbered as in the page's list
    measured = [(number, step) for number, step in done if step.metric and plain(step.after) is not None]
    metrics = list(dict.fromkeys(step.metric for _, step in measured))
    return [
        {
            "metric": "output SQNR in dB" if metric == SQNR else words.clean(metric),
            "points": [
                [f"{number}. {words.clean(_brief(s))}", plain(s.before), plain(s.after), s.kept, words.clean(s.text)]
                for number, s in measured
                if s.metric == metric
            ],
        }
        for metric in metrics
    ]


def _brief(step: Step) -> str:
    """Return a short label for a step: its text up to the colon if that is short, otherwise its algorithm."""
    begin, colon, _ = step.text.partition(":")
    return begin if colon and len(begin) <= LABEL else step.algorithm


def _sensitivities(facts: Facts) -> list[list[Any]]:
    known = [(name, ratio) for name, value in facts.sensitivities.items() if (ratio := plain(value)) is not None]
    return [[words.clean(name), ratio] for name, ratio in sorted(known, key=lambda item: item[1])[:MOST_BARS]]


def _weights(layer: ChannelRanges) -> dict[str, Any]:
    return {
        "name": words.clean(layer.layer),
        "operator": words.clean(layer.operator),
        "channels": layer.channels,
        "shown": layer.shown.tolist(),
        "before": None if layer.before is None else rounded(layer.before),
        "after": rounded(layer.after),
        "spread": [plain(layer.spread_before), plain(layer.spread_after)],
    }


def _activations(facts: Facts, numbers: dict[str, int]) -> list[dict[str, Any]]:
    ratios = {layer.name: layer.sqnr for layer in facts.layers}
    return [_histogram(h, numbers.get(words.clean(h.value)), ratios.get(h.value)) for h in facts.histograms]


def _histogram(h: ActivationHistogram, row: int | None, ratio: float | None) -> dict[str, Any]:
    total = max(int(h.counts.sum()), 1)
    return {
        "name": words.clean(h.value),
        "row": row,
        "sqnr": plain(ratio),
        "edges": rounded(h.edges),
        "share": [plain(100 * count / total) for count in h.counts.tolist()],
        "range": [plain(h.low), plain(h.high)],
        "grid": None if h.grid is None else [plain(x) for x in h.grid],
        "calibrator": words.clean(h.calibrator),
        "thresholds": {words.clean(name): [plain(x) for x in pair] for name, pair in h.thresholds.items()},
    }


def _confusion(found: Confusion) -> dict[str, Any] | None:
    """Return the matrix of all classes, or of the classes between which most predictions change."""
    classes = {c for cell in found.cells for c in cell}
    if len(classes) > MOST_CLASSES:
        classes = set()
        for (a, b), _ in sorted(found.cells.items(), key=lambda item: -item[1]):
            if a != b and len(classes | {a, b}) <= MOST_CLASSES:
                classes |= {a, b}
    chosen = sorted(classes)
    if len(chosen) < 2:
        return None
    return {
        "classes": [words.clean(found.name(c)) for c in chosen],
        "all": all(c in classes for cell in found.cells for c in cell),
        "cells": [[found.cells.get((a, b), 0) for b in chosen] for a in chosen],
    }
