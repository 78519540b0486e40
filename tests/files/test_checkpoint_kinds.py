"""Each kind of checkpoint refuses other networks, data and settings, survives a kill, and resumes to equal results."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intaglio_tests.onnx_net import Net

import intaglio as ig
from intaglio.calibrate import Needs, calibrate, observe
from intaglio.calibrate.statistics.statistics import STATISTICS
from intaglio.errors import IntaglioError
from intaglio.evaluation import ProgramStage
from intaglio.evaluation.held_back import ArraySamples
from intaglio.evaluation.model_stages import data_for
from intaglio.files import CheckpointKind, whole
from intaglio.graph.access import constant
from intaglio.graph.edit import set_attribute
from intaglio.plan import place
from intaglio.ptq.recipe import Recipe
from intaglio.recover.gptq import GptqSettings, gptq
from intaglio.recover.rounding_checkpoint import ROUNDING
from intaglio.search import recipe_search
from intaglio.search import survey as survey_module
from intaglio.search.attempts import ATTEMPTS
from intaglio.search.sensitivity import sensitivity
from intaglio.search.sensitivity_table import SENSITIVITIES
from intaglio.targets import load_target
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.loop.checkpoint import TRAINING
from intaglio.train.prepare import prepare_qat

SOURCE = Path(__file__).resolve().parents[2] / "src" / "intaglio"
PLAIN = {"calibrator": "max", "equalize": False, "bias_correction": False}


@dataclass(frozen=True)
class Given:
    """What a run reads; `changed` says in what it differs from the others."""

    path: Path | None
    changed: str = ""

    @property
    def graph(self) -> ig.Graph:
        net = Net(seed=3)
        x = net.op("LeakyRelu", net.conv(net.input("x", ("N", 3, 6, 6)), 3, 4), name="leaky", alpha=0.25)
        x = net.op("LeakyRelu", net.conv(x, 4, 4), alpha=0.25)
        x = net.op("Flatten", net.op("GlobalAveragePool", x))
        graph = ig.load(net.output(net.op("Gemm", x, net.normal(4, 3), net.normal(3))).model())
        if self.changed == "network":
            set_attribute(graph.node("node_leaky"), "alpha", 0.5)
        return graph

    @property
    def x(self) -> np.ndarray:
        return np.random.default_rng(8 if self.changed == "data" else 7).normal(size=(48, 3, 6, 6)).astype(np.float32)

    @property
    def y(self) -> np.ndarray:
        return np.arange(48) % 3

    def setting(self, usual: Any, other: Any) -> Any:
        return other if self.changed == "settings" else usual

    def plan(self, target: str) -> ig.Plan:
        graph = self.graph
        return calibrate(graph, place(graph, load_target(target)), data_for(graph, self.x), calibrator="max").plan


def observed(given: Given) -> Any:
    graph = given.graph
    plan = place(graph, load_target("cpu-int8"))
    needs = given.setting(Needs.HISTOGRAM | Needs.MOVING, Needs.HISTOGRAM)
    return observe(graph, plan, data_for(graph, given.x), needs=needs, batch_size=16, checkpoint=given.path).records


def rounded(given: Given) -> Any:
    samples = ArraySamples([given.x[:32]], 16), ArraySamples([given.x[32:]], 16)
    settings = GptqSettings(damping=given.setting(0.01, 0.02))
    found = gptq(given.graph, given.plan("w4a8"), *samples, settings=settings, checkpoint=given.path)
    return [constant(value).tolist() for value in found.graph.initializers], found.plan.to_json()


def searched(given: Given) -> Any:
    graph, x, y = given.graph, given.x, given.y
    found = recipe_search.search_recipes(
        graph,
        load_target("cpu-int8"),
        data_for(graph, x[:32]),
        data_for(graph, (x, y), labels=True),
        max_drop=0.0,
        recipe=Recipe(**PLAIN, layers=given.setting({}, {"node_leaky": "int16"})),
        folder=given.path and given.path.parent,
    )
    return [(a.name, a.score, a.error) for a in found.attempts], found.quantized.plan.to_json()


def surveyed(given: Given) -> Any:
    graph, x, y = given.graph, given.x, given.y
    found = survey_module.survey(
        graph,
        data_for(graph, (x, y), labels=True),
        lambda cell: ig.quantize(graph, x, cell.target, **PLAIN),
        settings={"calibrator": given.setting("max", "mse")},
        path=given.path,
    )
    return [(row.cell, row.score, row.agreement, row.error) for row in found.rows]


def measured(given: Given) -> Any:
    values = given.setting(None, ["x"])
    found = sensitivity(
        given.graph, given.plan("cpu-int8"), ArraySamples([given.x], 16), values=values, path=given.path
    )
    assert given.path is None or not given.changed or "measured again" in found.notes[0]
    return found.to_json()


def trained(given: Given) -> Any:
    module = prepare_qat(given.graph, target="w4a8")
    settings = TrainSettings(steps=4, batch=16, lr=0.02, seed=given.setting(1, 2))
    options = RunOptions(given.path, resume=given.path is not None and given.path.exists(), steps=1, device="cpu")
    train(module, data_for(given.graph, (given.x, given.y), labels=True), settings, run_options=options)
    return {name: tensor.tolist() for name, tensor in module.state_dict().items()}


@dataclass(frozen=True)
class Case:
    """A run that keeps a checkpoint.

    Args:
        kind: of the checkpoint.
        run: what it gives can be compared.
        file: its name.
        setting: what the error calls the setting that is changed.
        refuses: false where a file about something else is replaced, because it is a result too.
    """

    kind: CheckpointKind
    run: Callable[[Given], Any]
    file: str
    setting: str
    refuses: bool = True


CASES = {
    "calibration": Case(STATISTICS, observed, "statistics.npz", "kinds of statistics"),
    "learned rounding": Case(ROUNDING, rounded, "rounding.npz", "damping"),
    "recipe search": Case(ATTEMPTS, searched, "attempts.json", "layers"),
    "survey": Case(ATTEMPTS, surveyed, "survey.json", "calibrator"),
    "sensitivity": Case(SENSITIVITIES, measured, "sensitivity.json", "part of layers", refuses=False),
    "training": Case(TRAINING, trained, "training.pt", "seed"),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    """Nothing is compiled, few attempts, and a file after every step."""
    torch.set_num_threads(1)
    monkeypatch.setattr("intaglio.calibrate.statistics.observer.CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(sys.modules["intaglio.search.sensitivity"], "LAYERS_AT_ONCE", 1)
    monkeypatch.setattr(recipe_search, "integer_stage", ProgramStage)
    monkeypatch.setattr(recipe_search, "LEARNED", ())
    monkeypatch.setattr(recipe_search._Search, "_holds", lambda self, attempt: False)
    monkeypatch.setattr(recipe_search._Search, "_partial", lambda self: None)
    monkeypatch.setattr(survey_module, "integer_stage", ProgramStage)
    monkeypatch.setattr(survey_module, "CELLS", survey_module.CELLS[:3])


class Killed(BaseException):
    """The process ends here."""


class Replace:
    """`os.replace`, which counts and, at the call of that number, kills."""

    def __init__(self, kills_at: int = 0) -> None:
        self.calls, self.kills_at = 0, kills_at
        self.real = os.replace

    def __call__(self, source: Any, target: Any) -> None:
        self.calls += 1
        if self.calls == self.kills_at:
            raise Killed
        self.real(source, target)


def test_there_is_a_case_for_every_kind() -> None:
    declared = {
        target.id
        for path in SOURCE.rglob("*.py")
        if "CheckpointKind(" in path.read_text(encoding="utf-8")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if isinstance(node.value.func, ast.Name) and node.value.func.id == "CheckpointKind"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert declared == {"ATTEMPTS", "ROUNDING", "SENSITIVITIES", "STATISTICS", "TRAINING"}
    kinds = {id(case.kind) for case in CASES.values()}
    assert len(kinds) == len(declared)


@every
def test_another_network_other_data_and_other_settings_are_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    case.run(Given(path))
    written = path.read_bytes()
    for changed, name in {"network": "network", "data": "(data|samples)", "settings": case.setting}.items():
        given = Given(path, changed)
        if not case.refuses:
            path.write_bytes(written)
            assert case.run(given) == case.run(Given(None, changed))
            continue
        with pytest.raises(IntaglioError, match=f"other settings: .*{name} was .*, now ") as refused:
            case.run(given)
        assert type(refused.value) is case.kind.error
        assert str(refused.value).startswith(f"{path}: expected {case.kind.words} with these settings, got")
        assert "\n" not in str(refused.value)
        assert path.read_bytes() == written


@every
def test_a_kill_between_writing_and_renaming_leaves_the_file_before(case: Case, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(whole.os, "replace", counted := Replace())
    want = case.run(Given(tmp_path / "whole" / case.file))
    assert counted.calls > 2
    path = tmp_path / "killed" / case.file
    monkeypatch.setattr(whole.os, "replace", Replace(kills_at=3))
    with monkeypatch.context() as killed:
        killed.setattr(whole.shutil, "rmtree", lambda *a, **k: None)  # who is killed tidies nothing up
        with pytest.raises(Killed):
            case.run(Given(path))
    case.kind.read(path, dict)
    assert len(list(path.parent.iterdir())) > 1
    monkeypatch.setattr(whole.os, "replace", resumed := Replace())
    assert case.run(Given(path)) == want
    assert 0 < resumed.calls < counted.calls


@every
def test_a_file_of_another_version_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.file
    case.run(Given(path))
    _, state = case.kind.read(path, dict)
    CheckpointKind("x", case.kind.format, 99, case.kind.encoding).write(path, {}, state)
    with pytest.raises(case.kind.error, match="got version 99, which another release of intaglio wrote; delete it"):
        case.run(Given(path))
    CheckpointKind("x", "other", 1, case.kind.encoding).write(path, {}, state)
    with pytest.raises(case.kind.error, match="a file of the format 'other', not 'intaglio-"):
        case.run(Given(path))
