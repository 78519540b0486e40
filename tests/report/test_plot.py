"""The drawing: every point inside it, in order, and nothing drawn where nothing is known."""

from __future__ import annotations

import math

import pytest

from intaglio.evaluation import LayerDifference
from intaglio.report.plot import sqnr_plot


def layer(name: str, sqnr: float) -> LayerDifference:
    return LayerDifference(name, sqnr, 0.0, None, 0.0)


@pytest.mark.parametrize("count", [2, 9, 100, 1000])
def test_points_stay_inside_and_in_order(count: int) -> None:
    ratios = [math.inf, -math.inf, -40.0, 120.0, *(float(i % 50) for i in range(count))]
    plot = sqnr_plot([layer(str(i), r) for i, r in enumerate(ratios)], [])
    assert plot is not None
    xs = [p.x for p in plot.points]
    assert xs == sorted(xs)
    assert plot.left <= xs[0]
    assert xs[-1] <= plot.right < plot.width
    assert all(0 <= p.y <= plot.bottom for p in plot.points)
    assert plot.points[0].y == min(p.y for p in plot.points)
    assert plot.points[1].y == max(p.y for p in plot.points)


@pytest.mark.parametrize("layers", [[], [layer("a", 3.0)], [layer("a", math.nan), layer("b", math.nan)]])
def test_fewer_than_two_values_are_not_drawn(layers: list[LayerDifference]) -> None:
    assert sqnr_plot(layers, []) is None


def test_equal_networks_can_be_drawn() -> None:
    plot = sqnr_plot([layer("a", math.inf), layer("b", math.inf)], [])
    assert plot is not None
    assert all(p.exact and not p.weak for p in plot.points)


def test_the_weakest_are_named_and_names_do_not_overlap() -> None:
    ratios = [40.0] * 50
    ratios[10], ratios[11], ratios[40] = 3.0, 4.0, 8.0
    plot = sqnr_plot([layer(f"v{i}", r) for i, r in enumerate(ratios)], [])
    assert plot is not None
    named = [p.label for p in plot.points if p.label]
    assert {"v10", "v40"} <= set(named)
    assert "v11" not in named
    assert [p.name for p in plot.points if p.weak] == ["v10", "v11"]
