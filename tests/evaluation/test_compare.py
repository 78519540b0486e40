"""Comparison of two stages, by hand."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest

from intaglio.data import open_data
from intaglio.errors import DataError, UsageError
from intaglio.evaluation import compare, evaluate
from intaglio.evaluation.metrics.image_errors import squared_errors
from intaglio.evaluation.stage import Show


class Values:
    """A stage that shows its input times a factor, plus an error on one sample; input 0 is the sample's number."""

    engine = "values"
    input_names = ("x",)
    input_shapes = ((1, 2),)

    def __init__(self, factor: float = 1.0, error: float = 0.0, name: str = "y") -> None:
        self.factor, self.error, self.name = factor, error, name

    def run(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.factor * x[0] + self.error * (x[0][:, :1] == 2),)

    def trace(self, show: Show, *x: np.ndarray) -> None:
        show("x", x[0])
        show(self.name, self.run(*x)[0])


X = np.array([[1.0, -1.0], [2.0, -2.0], [3.0, -3.0]], np.float32)  # mean 0, squares 28


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_ratio_largest_difference_and_share_by_hand(batch: int) -> None:
    equal, other = compare(Values(), Values(error=0.5), open_data(X), {"y": 0.25}, batch=batch)
    assert (equal.name, equal.sqnr, equal.largest, equal.steps, equal.equal) == ("x", math.inf, 0.0, None, 100.0)
    assert other.name == "y"
    assert other.sqnr == pytest.approx(10 * math.log10(28 / (2 * 0.25)))
    assert (other.largest, other.steps) == (0.5, 2.0)
    assert other.equal == pytest.approx(100 * 4 / 6)


def test_only_so_many_samples_are_compared() -> None:
    assert compare(Values(), Values(error=0.5), open_data(X), {}, samples=1)[1].sqnr == math.inf


def test_large_values_are_held_for_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    want = compare(Values(), Values(error=0.5), open_data(X), {})
    monkeypatch.setattr(import_module("intaglio.evaluation.compare"), "HELD", 2 * X[0].nbytes)  # of x and y: one sample
    stage = _Counted()
    assert compare(stage, Values(error=0.5), open_data(X), {}) == want
    assert stage.samples == [1, 1, 1]


class _Counted(Values):
    samples: list[int]

    def trace(self, show: Show, *x: np.ndarray) -> None:
        self.samples = [*getattr(self, "samples", []), len(x[0])]
        super().trace(show, *x)


def test_networks_without_a_common_value_are_refused() -> None:
    with pytest.raises(DataError, match="in both stages, got none"):
        compare(_Only("a"), _Only("b"), open_data(X), {})


class _Only(Values):
    def __init__(self, name: str) -> None:
        super().__init__(name=name)

    def trace(self, show: Show, *x: np.ndarray) -> None:
        show(self.name, x[0])


def test_metrics_by_hand() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.9, 0.2, 0.1], [0.1, 0.2, 0.9]], np.float32)
    labels = np.array([1, 1, 0])
    stage = _Given(scores)
    numbers = np.arange(3, dtype=np.float32)[:, None]

    def score(metric: str, y: np.ndarray, batch: int = 64) -> float:
        return evaluate([stage], open_data((numbers, y)), metric, batch=batch).scores[0].value

    for batch in (1, 2, 64):
        assert score("top1", labels, batch) == pytest.approx(100 / 3)
    six = np.array([[5, 4, 3, 2, 1, 0]] * 3, np.float32)
    stage.scores = six
    assert score("top5", np.array([0, 4, 5])) == pytest.approx(200 / 3)
    errors = squared_errors(np.array([[0, 2], [1, 1], [3, 0]], np.float32), np.zeros((3, 2), np.float32))
    assert errors.tolist() == [2, 1, 4.5], "the mean over a sample's outputs"
    with pytest.raises(DataError, match="expected classes below 6"):
        score("top1", np.array([0, 1, 6]))
    with pytest.raises(
        UsageError, match="metric: expected one of top1, top5, mse.*, or package.module:function.*, got 'beauty'"
    ):
        score("beauty", labels)


class _Given(Values):
    def __init__(self, scores: np.ndarray) -> None:
        super().__init__()
        self.scores = scores

    def run(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.scores[x[0][:, 0].astype(int)],)
