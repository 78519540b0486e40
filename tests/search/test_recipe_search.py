"""The search stops at the first recipe that holds, returns the best in any case, and measures nothing twice."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.data import open_data
from intaglio.errors import DataError, UsageError
from intaglio.evaluation import FloatStage, ProgramStage
from intaglio.evaluation.model_stages import data_for
from intaglio.search import recipe_search
from intaglio.search.attempts import Attempt
from intaglio.search.recipe_search import loss, search_recipes
from intaglio.targets import load_target


@pytest.fixture(autouse=True)
def interpreted(monkeypatch) -> None:
    """The integers are the same, and nothing has to be compiled."""
    monkeypatch.setattr(recipe_search, "integer_stage", ProgramStage)


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.ReLU6(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 16, 6),
    )  # fmt: skip
    return ig.load(net.eval(), torch.zeros(1, 1, 8, 8))


@pytest.fixture(scope="module")
def arrays(graph: ig.Graph) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and the float network's own predictions as labels."""
    x = np.random.default_rng(5).normal(size=(96, 1, 8, 8)).astype(np.float32)
    return x, FloatStage(graph).run(x)[0].argmax(1)


def searched(graph, arrays, max_drop, target="int8-per-tensor", folder=None, told=None, **more):
    x, y = arrays
    return search_recipes(
        graph, load_target(target), data_for(graph, x[:64]), data_for(graph, open_data((x, y)), labels=True),
        max_drop=max_drop, folder=folder, callback=None if told is None else lambda a, _: told.append(a), **more,
    )  # fmt: skip


def test_the_first_that_holds_ends_the_search(graph, arrays) -> None:
    found = searched(graph, arrays, 100.0)
    assert found.holds
    assert [a.stage for a in found.attempts] == ["calibrators"]
    assert "is within it" in str(found.quantized.steps[-1])


def test_the_limit_of_the_loss_is_inclusive(graph, arrays) -> None:
    first = searched(graph, arrays, 100.0, target="int8-per-tensor").attempts[0]
    lost = loss("top1", first.score, 100.0)
    found = searched(graph, arrays, lost)
    assert found.holds
    assert len(found.attempts) == 1


@pytest.mark.parametrize(("metric", "score", "reference", "most"), [("top1", 87.5, 90.0, 2.5), ("mse", 1.5, 1.0, 50.0)])
def test_a_loss_beyond_the_allowed_one_does_not_hold(metric, score, reference, most) -> None:
    search = object.__new__(recipe_search._Search)
    search.metric, search.reference = metric, reference
    attempt = Attempt("calibrators", "max", score)
    for search.max_drop, holds in ((most, True), (math.nextafter(most, 0), False), (math.nextafter(most, 100), True)):
        assert search._holds(attempt) is holds
    search.max_drop = 100.0
    assert not search._holds(Attempt("calibrators", "max", None)), "nothing was measured"
    assert not search._holds(Attempt("calibrators", "max", float("nan")))


def test_the_best_is_returned_if_none_is_good_enough(graph, arrays, monkeypatch) -> None:
    monkeypatch.setattr(recipe_search, "LEARNED", ())
    monkeypatch.setattr(recipe_search._Search, "_holds", lambda self, attempt: False)
    found = searched(graph, arrays, 0.0, target="w4a8")
    best = max(a.score for a in found.attempts if a.score is not None)
    last = found.quantized.steps[-1]
    assert last.after == best
    assert "the best of all attempts" in str(last)


def test_an_interrupted_search_measures_nothing_twice(graph, arrays, tmp_path: Path, monkeypatch) -> None:
    class KilledError(Exception):
        pass

    def kill(attempt: Attempt, _: float) -> None:
        seen.append(attempt)
        if len(seen) == 2:
            raise KilledError

    seen: list[Attempt] = []
    x, y = arrays
    monkeypatch.setattr(recipe_search, "LEARNED", ())
    monkeypatch.setattr(recipe_search._Search, "_holds", lambda self, attempt: False)
    given = (graph, load_target("int8-per-tensor"), data_for(graph, x[:64]), data_for(graph, (x, y), labels=True))
    with pytest.raises(KilledError):
        search_recipes(*given, max_drop=0.0, folder=tmp_path, callback=kill)
    measured: list[str] = []
    real = recipe_search._Search._measured
    monkeypatch.setattr(
        recipe_search._Search, "_measured", lambda self, r, n, recipe: measured.append(n) or real(self, r, n, recipe)
    )
    resumed = search_recipes(*given, max_drop=0.0, folder=tmp_path)
    assert [a.name for a in resumed.attempts][:2] == [a.name for a in seen]
    assert not {a.name for a in seen} & set(measured)
    assert measured
    whole = search_recipes(*given, max_drop=0.0)
    assert [(a.name, a.score) for a in whole.attempts] == [(a.name, a.score) for a in resumed.attempts]
    assert resumed.quantized.plan.to_json() == whole.quantized.plan.to_json()


def test_other_settings_are_refused_and_named(graph, arrays, tmp_path: Path) -> None:
    searched(graph, arrays, 100.0, folder=tmp_path)
    with pytest.raises(UsageError, match="target was int8-per-tensor, now cpu-int8"):
        searched(graph, arrays, 100.0, target="cpu-int8", folder=tmp_path)
    searched(graph, arrays, 50.0, folder=tmp_path)  # another allowed loss is no other measurement


def test_a_score_that_is_no_number_is_refused(graph, arrays) -> None:
    with pytest.raises(DataError, match="of the float network, got nan"):
        searched(graph, arrays, 1.0, metric=lambda outputs, targets: np.nan)


@pytest.mark.parametrize("drop", [-1.0, float("nan"), float("inf")])
def test_an_allowed_loss_is_a_number_from_zero(graph, arrays, drop) -> None:
    with pytest.raises(UsageError, match="max-drop"):
        searched(graph, arrays, drop)


def test_loss_counts_points_or_growth() -> None:
    assert loss("top1", 83.5, 84.0) == pytest.approx(0.5)
    assert loss("mse", 0.11, 0.10) == pytest.approx(10.0)
    assert loss("top1", float("nan"), 84.0) == float("inf")
