"""Evaluation: what several stages predict on the same samples, and the samples on which the first and last differ."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from intaglio.data import Dataset, open_data
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.stage import Show

SEED = 7


class Table:
    """A stage that predicts what a table says: input 0 is the sample's number."""

    engine = "table"
    input_names = ("x",)
    input_shapes = ((1, 3),)

    def __init__(self, classes: np.ndarray) -> None:
        self.classes = classes

    def run(self, *x: Any) -> tuple[Any, ...]:
        return (np.eye(10)[self.classes[x[0][:, 0].astype(int)]],)

    def trace(self, show: Show, *x: Any) -> None:
        raise AssertionError("evaluation looks at outputs only")


def made(count: int = 50) -> tuple[Table, Table, Dataset, np.ndarray]:
    """Two stages that differ on some samples, and labelled data."""
    rng = np.random.default_rng(SEED)
    first, last, labels = rng.integers(0, 10, (3, count))
    last = np.where(rng.random(count) < 0.5, first, last)
    x = np.stack([np.arange(count), *rng.normal(size=(2, count))], axis=1).astype(np.float32)
    return Table(first), Table(last), open_data((x, labels)), labels


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("keep", [0, 3, 1000])
def test_the_first_differing_samples_are_kept(batch: int, keep: int) -> None:
    a, b, data, labels = made()
    found = evaluate([a, Table(labels), b], data, batch=batch, keep=keep)
    differ = np.flatnonzero(a.classes != b.classes)
    assert [d.number for d in found.differing] == differ[:keep].tolist(), SEED
    assert all(d.x[0] == d.number for d in found.differing)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.predictions, [a.classes, labels, b.classes])
    assert found.scores[1].value == 100.0
    assert found.agreement[0, 2] == 100.0 * (1 - len(differ) / len(labels))


def test_kept_samples_are_copies_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, data, _ = made()
    monkeypatch.setattr(sys.modules[evaluate.__module__], "KEPT_BYTES", 4 * 3 * 4)
    found = evaluate([a, b], data, keep=100)
    assert len(found.differing) == 4
    assert all(d.x.base is None for d in found.differing)


def test_a_single_stage_differs_from_nothing() -> None:
    a, _, data, _ = made()
    assert evaluate([a], data, keep=10).differing == ()
