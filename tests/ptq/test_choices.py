"""Choices of `quantize` as objects, and as keywords that are their fields."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.errors import UsageError
from intaglio.ptq import LossLimit, Recipe


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
