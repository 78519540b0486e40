"""What plots are drawn from: small, finite, and nothing that a page could take for a tag."""

from __future__ import annotations

import json
import math

import pytest

import intaglio as ig
from intaglio.report import Facts
from intaglio.report.charts import MOST_BARS, MOST_CLASSES, MOST_POINTS, as_script, charts
from intaglio.report.facts import Confusion, OperatorCost
from intaglio.report.value_rows import value_rows
from intaglio.train.loop import Point


def drawn(q: ig.Quantized, facts: Facts) -> dict[str, object]:
    return charts(facts, value_rows(q.graph, q.plan, facts))


def test_no_facts_give_no_charts(quantized: ig.Quantized) -> None:
    assert drawn(quantized, Facts()) == {}


def test_every_plot_has_finite_numbers(quantized: ig.Quantized, full_facts: Facts) -> None:
    found = drawn(quantized, full_facts)
    assert set(found) == {"training", "steps", "sensitivity", "weights", "activations", "costs", "confusion"}
    text = as_script(found)
    assert json.loads(text) == found
    assert "NaN" not in text
    assert "Infinity" not in text


def test_no_tag_can_begin_or_end_in_the_data(hostile: ig.Quantized, hostile_facts: Facts) -> None:
    text = as_script(drawn(hostile, hostile_facts))
    assert not set("<>&") & set(text)
    assert "alert(1)" in text
    assert "\x1b" not in json.loads(text)["sensitivity"][-1][0]


def test_steps_of_one_metric_share_a_plot(quantized: ig.Quantized, full_facts: Facts) -> None:
    parts = charts(full_facts, value_rows(quantized.graph, quantized.plan, full_facts))["steps"]
    assert [part["metric"] for part in parts] == ["output SQNR in dB", "top1"]
    assert [point[0] for point in parts[0]["points"]] == [
        "2. 3 chains equalized",
        "3. calibration",
        "4. bias correction",
    ]
    assert [point[0] for point in parts[1]["points"]] == ["5. partial quantization"]  # as the page's list numbers them
    assert [point[3] for point in parts[0]["points"]] == [True, None, False]


def test_a_long_training_keeps_its_evaluations() -> None:
    points = [Point(i, i / 100, 1.0, 0.1, 50.0 if i % 100 == 99 else None) for i in range(5000)]
    shown = charts(Facts(training=points), [])["training"]["points"]
    assert len(shown) < 2 * MOST_POINTS
    assert [p for p in shown if p[4] is not None] == [[i, i / 100, 1.0, 0.1, 50.0] for i in range(99, 5000, 100)]


def test_a_matrix_of_many_classes_shows_those_that_change() -> None:
    same = {(i, i): 3 for i in range(1000)}
    facts = Facts(confusion=Confusion(3003, {**same, (7, 900): 2, (8, 7): 1}))
    found = charts(facts, [])["confusion"]
    assert found == {"classes": ["7", "8", "900"], "all": False, "cells": [[3, 0, 2], [1, 3, 0], [0, 0, 3]]}
    agreeing = Facts(confusion=Confusion(3000, same))
    assert "confusion" not in charts(agreeing, [])
    worse = Facts(confusion=Confusion(0, {(i, i + 1): i for i in range(1, 999)}))
    assert len(charts(worse, [])["confusion"]["classes"]) == MOST_CLASSES


@pytest.mark.parametrize("count", [3, 5000])
def test_bars_are_bounded(count: int) -> None:
    costs = [OperatorCost(f"n{i}", "dense", (1, 4), "int8", i + 1, 0, "") for i in range(count)]
    facts = Facts(costs=costs, sensitivities={f"n{i}": float(count - i) for i in range(count)} | {"x": math.nan})
    found = charts(facts, [])
    assert len(found["costs"]) == len(found["sensitivity"]) == min(count, MOST_BARS)
    assert found["sensitivity"][0] == [f"n{count - 1}", 1.0]  # the most sensitive
