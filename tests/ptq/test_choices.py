"""Choices of `quantize` as objects, and as keywords that are their fields."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.calibrate import Needs
from intaglio.calibrate.calibrators.percentile import Percentile
from intaglio.errors import UsageError
from intaglio.ptq import LossLimit, Recipe
from intaglio.ptq.recipe import recovery_rows


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    torch.manual_seed(0)
    return ig.load(
        torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)), torch.zeros(1, 4)
    )


X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
LABELS = np.arange(16) % 3


def test_few_parameters_and_each_name_once() -> None:
    names = [name for name, p in inspect.signature(ig.quantize).parameters.items() if p.kind is not p.VAR_KEYWORD]
    assert len(names) <= 10
    every = [*names, *(f.name for cls in (Recipe, LossLimit) for f in fields(cls))]
    assert len(set(every)) == len(every)


def test_a_recipe_is_its_fields(graph: ig.Graph) -> None:
    choices = {"calibrator": "mse", "equalize": False, "bias_correction": False, "layers": {"last": "a16"}}
    by_object, by_name = ig.quantize(graph, X, recipe=Recipe(**choices)), ig.quantize(graph, X, **choices)
    assert by_object.plan.to_json() == by_name.plan.to_json()
    assert by_object.history == by_name.history


def test_a_limit_is_its_fields(graph: ig.Graph) -> None:
    plain = Recipe("max", equalize=False, bias_correction=False)
    by_object = ig.quantize(graph, X, recipe=plain, limit=LossLimit(100.0, (X, LABELS)))
    by_name = ig.quantize(graph, X, recipe=plain, max_drop=100.0, eval_data=(X, LABELS))
    assert by_object.history[-1] == by_name.history[-1]
    assert "is within it" in by_object.history[-1]
    assert by_object.plan.to_json() == by_name.plan.to_json()


def test_without_a_loss_the_rest_of_its_limit_means_nothing(graph: ig.Graph) -> None:
    ig.quantize(
        graph, X, calibrator="max", equalize=False, bias_correction=False, max_drop=None, metric="top5", work="w"
    )
    with pytest.raises(UsageError, match="expected max_drop beside train_data"):
        ig.quantize(graph, X, train_data=(X, LABELS))
    with pytest.raises(UsageError, match="expected labelled data to measure the loss on, got none"):
        ig.quantize(graph, X, max_drop=1.0)


def test_wrong_choices_are_named(graph: ig.Graph) -> None:
    with pytest.raises(TypeError, match="expected choices among calibrator, .*, got calibrater"):
        ig.quantize(graph, X, calibrater="max")
    with pytest.raises(TypeError, match="expected recipe or its fields, got both: equalize"):
        ig.quantize(graph, X, recipe=Recipe(), equalize=False)
    with pytest.raises(TypeError, match="expected limit or its fields, got both: max_drop"):
        ig.quantize(graph, X, limit=LossLimit(1.0, (X, LABELS)), max_drop=2.0)


@dataclass(frozen=True)
class Share:
    """A share of the extremes: a calibrator that no registry has."""

    share: float = 0.5
    needs: ClassVar[Needs] = Needs.EXTREMES

    @property
    def name(self) -> str:
        return f"share-{self.share:g}"

    def range(self, record, fmt):
        return self.share * min(record.low, 0.0), self.share * max(record.high, 0.0)

    def ranges(self, blocks, fmt):
        low, high = blocks.min(axis=-1).astype(np.float64), blocks.max(axis=-1).astype(np.float64)
        return self.share * np.minimum(low, 0), self.share * np.maximum(high, 0)


class Plain(Share):
    """Not a dataclass of its own, and with a field that no file describes."""

    def __init__(self) -> None:
        object.__setattr__(self, "share", lambda: 0.5)

    @property
    def name(self) -> str:
        return "plain"

    def range(self, record, fmt):
        return min(record.low, 0.0), max(record.high, 0.0)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_calibrator_may_be_an_object(graph: ig.Graph, smooth: bool) -> None:
    plain = {"equalize": smooth, "smooth": smooth, "clamp_weights": smooth, "bias_correction": False}
    full = ig.quantize(graph, X, calibrator="max", weight_calibrator="max", **plain)
    half = ig.quantize(graph, X, calibrator=Share(), weight_calibrator=Share(0.25), **plain)
    assert half.plan.values["input"].calibrator == "share-0.5"
    assert half.plan.values["input"].params.scale == pytest.approx(0.5 * full.plan.values["input"].params.scale)
    names = {value.calibrator for value in half.plan.values.values()}
    assert "share-0.25" in names or smooth  # the weight clamp may have found better ranges
    assert any("share-0.5" in line for line in half.history)
    assert half.lower().run(X[:2]).shape == (2, 3)


def test_an_object_of_a_registered_name_is_that_calibrator(graph: ig.Graph) -> None:
    by_object = ig.quantize(graph, X, calibrator=Percentile(99.9))
    by_name = ig.quantize(graph, X, calibrator="percentile-99.9")
    assert by_object.plan.to_json() == by_name.plan.to_json()
    assert Recipe(Percentile(99.9)).to_json() == Recipe("percentile-99.9").to_json()


@pytest.mark.parametrize("data", [X, "none"], ids=["data", "without data"])
def test_ranges_without_data_by_an_object(graph: ig.Graph, data) -> None:
    q = ig.quantize(graph, data, calibrator=Share(), input_range=(-1, 1) if isinstance(data, str) else None)
    assert q.plan.values["input"].calibrator in ("share-0.5", "mse")


@pytest.mark.parametrize("given", [3, Share, object()], ids=["number", "class", "object"])
def test_what_is_no_calibrator_is_refused(given) -> None:
    with pytest.raises(UsageError, match="calibrator: expected a name, or a frozen object with name, needs, range and"):
        Recipe(calibrator=given)


def test_files_of_a_search_tell_calibrators_apart(graph: ig.Graph, tmp_path: Path) -> None:
    limit = {"max_drop": 100.0, "eval_data": (X, LABELS), "work": tmp_path}
    assert Recipe(Share()).to_json()["calibrator"] == {
        "class": f"{__name__}.Share",
        "name": "share-0.5",
        "share": 0.5,
    }
    first = ig.quantize(graph, X, calibrator=Share(), **limit)
    assert "calibrator share-0.5" in first.history[-1]
    assert ig.quantize(graph, X, calibrator=Share(), **limit).plan.to_json() == first.plan.to_json()
    with pytest.raises(UsageError, match="calibrator"):
        ig.quantize(graph, X, calibrator=Share(0.25), **limit)
    with pytest.raises(UsageError, match="calibrator plain: expected a frozen dataclass of numbers and texts"):
        ig.quantize(graph, X, calibrator=Plain(), **limit)
    ig.quantize(graph, X, calibrator=Plain(), max_drop=100.0, eval_data=(X, LABELS))  # without files


def test_recovery_algorithms_run_in_the_order_of_the_fields() -> None:
    rows = recovery_rows()
    assert list(rows) == ["equalize", "smooth", "clamp_weights", "bias_correction"]
    before = [row.before_calibration for row in rows.values()]
    assert before == sorted(before, reverse=True)
    assert all(callable(row.load()) for row in rows.values())
    assert not any(getattr(Recipe(equalize=True, smooth=True).without_recovery(), name) for name in rows)


def test_the_history_of_a_search_says_how_inputs_were_synthesized(graph: ig.Graph) -> None:
    choices = {"samples": 4, "input_range": (-1, 1), "calibrator": "max", "equalize": False, "bias_correction": False}
    once = ig.quantize(graph, "synthesize", **choices)
    searched = ig.quantize(graph, "synthesize", **choices, max_drop=100.0, eval_data=(X, LABELS))
    for quantized in (once, searched):
        assert [step.algorithm for step in quantized.steps].index("synthesis") == len(graph.history)
    assert "4 inputs of noise" in searched.history[len(graph.history)]
