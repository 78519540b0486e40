"""Lay out the plot of SQNR along the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.evaluation import LayerDifference
from intaglio.evaluation.gates import SQNR_FLOOR
from intaglio.report import words
from intaglio.report.value_rows import ValueRow

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 260, 24, 40, 52, 16
NARROW, COMFORTABLE = 560, 1100  # pixels: smallest width of the plot; width up to which values are ROOM apart
ROOM, STEP = 40, 12  # pixels between values: preferred, and at least
LABELLED, APART = 3, 220  # number of labelled weak values, and the pixels between their labels


@dataclass(frozen=True)
class PlotPoint:
    """One value in the plot: position, texts, and the table row that it links to."""

    x: float
    y: float
    name: str
    sqnr: str
    row: int | None
    weak: bool
    exact: bool
    label: str
    anchor: str


@dataclass(frozen=True)
class Tick:
    """Tick on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """Plot in pixels, y downwards; `line` joins the points; `floor` is the y of the SQNR gate."""

    width: int
    height: int
    left: int
    right: float
    bottom: float
    points: tuple[PlotPoint, ...]
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    floor: float
    summary: str


def sqnr_plot(layers: Sequence[LayerDifference], rows: Sequence[ValueRow]) -> Plot | None:
    """Lay out the plot; None if fewer than two values were measured.

    Values without noise are drawn at the upper edge, values without signal at the lower edge.
    """
    shown = [layer for layer in layers if not math.isnan(layer.sqnr)]
    if len(shown) < 2:
        return None
    finite = [layer.sqnr for layer in shown if math.isfinite(layer.sqnr)] or [0.0]
    low = min(0.0, 10 * math.floor(min(finite) / 10))
    high = max(low + 20, 10 * math.ceil((max(finite) + 2) / 10))
    width = LEFT + RIGHT + max(min(ROOM * len(shown), COMFORTABLE), STEP * len(shown))
    width = max(width, NARROW)
    right, bottom = width - RIGHT, HEIGHT - BOTTOM

    def x(i: float) -> float:
        return round(LEFT + (right - LEFT) * (i + 0.5) / len(shown), 1)

    def y(ratio: float) -> float:
        return round(bottom - (bottom - TOP) * (min(max(ratio, low), high) - low) / (high - low), 1)

    numbers = {row.name: row.number for row in rows}
    labelled: list[int] = []
    for i in sorted(range(len(shown)), key=lambda i: shown[i].sqnr)[: max(1, len(shown) // 3)]:
        if len(labelled) < LABELLED and all(abs(x(i) - x(j)) > APART for j in labelled):
            labelled.append(i)
    points = tuple(_point(x(i), y(layer.sqnr), layer, numbers, i in labelled, width) for i, layer in enumerate(shown))
    worst = min(shown, key=lambda layer: layer.sqnr)
    return Plot(
        width=width,
        height=HEIGHT,
        left=LEFT,
        right=right,
        bottom=bottom,
        points=points,
        line=" ".join(f"{p.x},{p.y}" for p in points),
        x_ticks=_x_ticks(points, width),
        y_ticks=tuple(Tick(y(ratio), words.number(ratio)) for ratio in _marks(low, high)),
        floor=y(SQNR_FLOOR),
        summary=f"{len(shown)} values; the weakest is {words.clean(worst.name)} with {words.decibels(worst.sqnr)}",
    )


def _point(
    x: float, y: float, layer: LayerDifference, numbers: dict[str, int], labelled: bool, width: int
) -> PlotPoint:
    name = words.clean(layer.name)
    anchor = "start" if x < width / 3 else "end" if x > 2 * width / 3 else "middle"
    return PlotPoint(
        x=x,
        y=y,
        name=name,
        sqnr=words.decibels(layer.sqnr),
        row=numbers.get(name),
        weak=not layer.sqnr >= SQNR_FLOOR,
        exact=layer.sqnr == math.inf,
        label=_short(name) if labelled else "",
        anchor=anchor,
    )


def _short(name: str) -> str:
    return name if len(name) <= 32 else f"\N{HORIZONTAL ELLIPSIS}{name[-31:]}"


def _marks(low: float, high: float) -> list[float]:
    step = 10 if high - low <= 80 else 20 if high - low <= 160 else 50
    return [mark for mark in range(int(low), int(high) + 1) if mark % step == 0]


def _x_ticks(points: Sequence[PlotPoint], width: int) -> tuple[Tick, ...]:
    """Return row numbers as ticks, as many as fit."""
    every = max(1, math.ceil(len(points) * 34 / (width - LEFT - RIGHT)))
    return tuple(Tick(p.x, str(p.row)) for p in points[::every] if p.row is not None)
