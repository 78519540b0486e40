"""Training is the last stage of the search: tried where nothing holds, measured like the rest, never done twice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.errors import UsageError
from intaglio.evaluation import FloatStage, ProgramStage
from intaglio.evaluation.model_stages import data_for
from intaglio.frontends import prepare
from intaglio.frontends.torch import load_torch
from intaglio.ptq.recipe import Recipe
from intaglio.search import recipe_search
from intaglio.search.recipe_search import search_recipes
from intaglio.search.training import CHECKPOINT, STAGE, Training, stage_settings
from intaglio.targets import load_target


@pytest.fixture(autouse=True)
def interpreted(monkeypatch) -> None:
    monkeypatch.setattr(recipe_search, "integer_stage", ProgramStage)


@pytest.fixture(scope="module")
def raw() -> ig.Graph:
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 16, 4),
    )  # fmt: skip
    return load_torch(net.eval(), torch.zeros(1, 1, 8, 8))


def searched(raw, folder, max_drop, *, settings=None, told=None):
    graph = ig.load(raw.copy())
    x = np.random.default_rng(5).normal(size=(320, 1, 8, 8)).astype(np.float32)
    y = FloatStage(graph).run(x)[0].argmax(1)
    settings = settings or replace(stage_settings(steps=30), batch=32, lr=0.01, seed=1)
    return search_recipes(
        graph,
        load_target("w2a8"),
        data_for(graph, x[:32]),
        data_for(graph, (x[:96], y[:96]), labels=True),
        max_drop=max_drop,
        recipe=Recipe(calibrator="max", rounding="gptq", equalize=False),
        folder=folder,
        callback=None if told is None else lambda attempt, _: told.append(attempt),
        training=Training(raw.copy(), data_for(graph, (x[96:], y[96:]), labels=True), settings),
    )


def test_it_is_tried_last_and_not_done_twice(raw, tmp_path, monkeypatch) -> None:
    # Every layer of so small a network can be wider.
    monkeypatch.setattr(recipe_search._Search, "_partial", lambda self: None)
    told = []
    found = searched(raw, tmp_path, 0.0, told=told)
    assert [a.stage for a in told].index(STAGE) == len(told) - 1
    trained = told[-1]
    assert trained.score > 40  # four classes
    best = max(told, key=lambda a: a.score)
    assert found.quantized.steps[-1].after == best.score
    if best is trained:
        assert any(step.algorithm == STAGE for step in found.quantized.steps)
    # An earlier run's attempt is taken as it is; its network comes out of the checkpoint.
    rows = json.loads((tmp_path / "attempts.json").read_text())
    rows["attempts"] = [{**row, "score": 100.0 if row["stage"] == STAGE else row["score"]} for row in rows["attempts"]]
    (tmp_path / "attempts.json").write_text(json.dumps(rows))
    written = (tmp_path / CHECKPOINT).read_bytes()
    again = searched(raw, tmp_path, 0.0)
    assert again.holds
    assert any(step.algorithm == STAGE and "trained 30 steps" in step.text for step in again.quantized.steps)
    assert (tmp_path / CHECKPOINT).read_bytes() == written


def test_a_folded_network_trains_with_batch_norms_that_live_again(raw) -> None:
    folded = prepare(raw.copy())
    assert "BatchNormalization" not in {node.op_type for node in folded.nodes}
    x = np.random.default_rng(5).normal(size=(160, 1, 8, 8)).astype(np.float32)
    y = FloatStage(folded).run(x)[0].argmax(1)
    data = data_for(folded, (x, y), labels=True)
    target, settings = load_target("w2a8"), replace(stage_settings(steps=2), batch=32)
    plan = ig.quantize(folded, x, target, calibrator="max", equalize=False, bias_correction=False).plan
    quantized = Training(folded, data, settings).quantized(target, plan, {}, None)
    assert "2 new batch norms inserted for training" in {step.text for step in quantized.steps}
    assert "BatchNormalization" not in {node.op_type for node in quantized.graph.nodes}


def test_training_is_skipped_if_an_earlier_stage_suffices(raw) -> None:
    told = []
    searched(raw, None, 100.0, told=told)
    assert STAGE not in [a.stage for a in told]


def test_training_stage_needs_classes_and_max_drop(raw) -> None:
    graph = ig.load(raw.copy())
    x, y = np.zeros((8, 1, 8, 8), np.float32), np.zeros(8, np.int64)
    with pytest.raises(UsageError, match="expected max_drop beside train_data"):
        ig.quantize(graph, x, train_data=(x, y))
    with pytest.raises(UsageError, match="expected a metric of classes"):
        search_recipes(
            graph,
            load_target("w2a8"),
            data_for(graph, x),
            data_for(graph, (x, y), labels=True),
            max_drop=1.0,
            metric="mse",
            training=Training(raw.copy(), data_for(graph, (x, y), labels=True), stage_settings(steps=1)),
        )
