"""A user's own metric: a function or an object, given to `evaluate` or named on a command line."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.cli import main
from intaglio.data import open_data
from intaglio.errors import DataError, UsageError
from intaglio.evaluation import evaluate, metric_of
from intaglio.evaluation.stage import Show

RNG = np.random.default_rng(11)
SCORES = RNG.normal(size=(23, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 23)


class Given:
    """A stage whose outputs are given: input 0 is the sample's number."""

    engine = "given"
    input_names = ("x",)
    input_shapes = ((1, 1),)

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs = outputs

    def run(self, *x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(y[x[0][:, 0].astype(int)] for y in self.outputs)

    def trace(self, show: Show, *x: np.ndarray) -> None:
        raise AssertionError("only outputs are looked at")


NUMBERS = np.arange(23, dtype=np.float32)[:, None]


def value(metric: Any, outputs: Any = (SCORES,), y: Any = LABELS, batch: int = 7) -> float:
    data = open_data((NUMBERS[: len(y)], y), pair=True)
    return evaluate([Given(*outputs)], data, metric, batch=batch).scores[0].value


def share_right(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float((outputs.argmax(1) == targets).mean())


class Running:
    """Counts hits batch by batch."""

    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.hits = self.seen = 0

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        self.hits += int((outputs.argmax(1) == targets).sum())
        self.seen += len(targets)

    def compute(self) -> float:
        return self.hits / self.seen


WANT = float((SCORES.argmax(1) == LABELS).mean())


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("metric", [share_right, Running, Running()])
def test_functions_and_objects_give_the_same_for_every_batch_size(metric: Any, batch: int) -> None:
    assert value(metric, batch=batch) == WANT


def test_an_object_is_copied_and_reset_for_every_stage() -> None:
    mine = Running()
    mine.update(SCORES, LABELS)
    found = evaluate([Given(SCORES), Given(-SCORES)], open_data((NUMBERS, LABELS)), mine)
    assert [s.value for s in found.scores] == [WANT, float(((-SCORES).argmax(1) == LABELS).mean())]
    assert mine.seen == len(LABELS), "the user's own object is left alone"


def test_torch_objects_get_tensors() -> None:
    class Hits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.total: list[torch.Tensor] = []

        def update(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
            self.total.append((outputs.argmax(1) == targets).float())

        def compute(self) -> torch.Tensor:
            return torch.cat(self.total).mean()

    assert value(Hits()) == pytest.approx(WANT)


def test_an_object_of_torchmetrics_is_a_metric() -> None:
    torchmetrics = pytest.importorskip("torchmetrics", reason="needs torchmetrics")
    accuracy = torchmetrics.classification.MulticlassAccuracy(num_classes=4, average="micro")
    assert value(accuracy) == pytest.approx(WANT)
    error = torchmetrics.MeanSquaredError()
    assert metric_of(error).higher_is_better is False


def test_several_outputs_are_a_tuple() -> None:
    seen = []

    def both(outputs: tuple[np.ndarray, ...], targets: np.ndarray) -> float:
        seen.append([y.shape for y in outputs])
        return 1.0

    value(both, (SCORES, SCORES[:, :2, None]))
    assert seen == [[(23, 4), (23, 2, 1)]], "called once, with the whole data set"


def test_targets_are_as_the_data_hold_them() -> None:
    seen: list[Any] = []

    def keep(outputs: np.ndarray, targets: Any) -> float:
        seen.append(targets)
        return 0.0

    masks = RNG.integers(0, 5, (23, 2, 3)).astype(np.uint8)
    value(keep, y=masks)
    np.testing.assert_array_equal(seen[-1], masks)
    assert seen[-1].dtype == np.uint8
    texts = [f"text {i}" for i in range(23)]
    value(keep, y=texts)
    assert seen[-1] == texts
    boxes = [np.full((i % 3, 4), float(i)) for i in range(23)]
    value(keep, y=boxes)
    assert isinstance(seen[-1], list)
    for got, want in zip(seen[-1], boxes, strict=True):
        np.testing.assert_array_equal(got, want)
    named = [{"boxes": b, "labels": np.arange(len(b))} for b in boxes]
    evaluate([Given(SCORES)], open_data(list(zip(NUMBERS, named, strict=True))), keep, batch=4)
    assert [sorted(entry) for entry in seen[-1]] == [["boxes", "labels"]] * 23


def test_the_direction_is_an_argument_an_attribute_or_up() -> None:
    assert metric_of(share_right).higher_is_better
    assert not metric_of(Running).higher_is_better
    assert metric_of(Running, higher_is_better=True).higher_is_better
    assert not metric_of(share_right, higher_is_better=False).higher_is_better
    assert metric_of(share_right).loss(0.7, 0.9) == pytest.approx(0.2)
    assert metric_of(Running).loss(0.9, 0.7) == pytest.approx(0.2)
    with pytest.raises(
        UsageError, match="metric top1: expected no direction of a built-in metric, whose larger values"
    ):
        metric_of("top1", higher_is_better=False)


def test_another_function_has_another_fingerprint() -> None:
    def made(factor: float) -> Any:
        return lambda outputs, targets: factor

    prints = {metric_of(m).fingerprint for m in (share_right, Running, made(1.0), made(2.0), Running())}
    assert len(prints) == 4, "a class and its fresh object are the same metric"
    assert metric_of(made(1.0)).fingerprint == metric_of(made(1.0)).fingerprint
    assert metric_of(share_right).fingerprint != metric_of(share_right, higher_is_better=False).fingerprint
    weighed = [functools.partial(_weighed, weight=w) for w in (1.0, 2.0)]
    assert len({metric_of(m).fingerprint for m in weighed}) == 2
    assert metric_of("top1").fingerprint == "top1", "runs of earlier versions resume"


def _weighed(outputs: np.ndarray, targets: np.ndarray, weight: float) -> float:
    return weight


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        (lambda outputs: 1.0, r"expected a function to take \(outputs, targets\)"),
        (lambda outputs, targets: outputs, r"expected one number, got an array of shape \(23, 4\)"),
        (
            lambda outputs, targets: {"map": 1.0, "map_50": 2.0},
            "got a dict with the keys map, map_50; return one float",
        ),
        (lambda outputs, targets: None, "expected one number, got None"),
        (lambda outputs, targets: "1.0", "expected one number, got a str"),
        (
            lambda outputs, targets: outputs - targets,
            r"with outputs \(23, 4\) float32 and targets \(23,\) int64 raised ValueError: .*broadcast",
        ),
        (7, "expected a name, a function of .* got int 7"),
        (type("Old", (), {"update": lambda self, y: None, "compute": lambda self: 1.0}), "expected update to take"),
    ],
)
def test_a_wrong_metric_is_one_clear_error(metric: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        value(metric)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, labelled data and a module with metrics, in the current folder."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    graph, x = ig.load(net, torch.zeros(1, 6)), RNG.normal(size=(64, 6)).astype(np.float32)
    graph.save(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=x, y=net(torch.from_numpy(x)).argmax(1).numpy())
    (tmp_path / "my_measures.py").write_text(
        "def hits(outputs, targets):\n    return 100.0 * (outputs.argmax(1) == targets).mean()\n\n"
        "def misses(outputs, targets):\n    return 100.0 - hits(outputs, targets)\n\n"
        "misses.higher_is_better = False\nmisses.unit = '%'\n\n"
        "def undefined(outputs, targets):\n    return float('nan')\n\nconstant = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_measures", None)


def command(*words: str) -> int:
    return main([*words[:1], "net.onnx", "--data", "data.npz", *words[1:]])


def test_evaluate_takes_a_function_by_name(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("evaluate", "--metric", "my_measures:hits") == 0
    assert capsys.readouterr().out == "hits 100 on 64 samples (float)\n"
    assert command("evaluate", "--metric", "my_measures:misses", "--json") == 0
    assert capsys.readouterr().out == '{"metric": "misses", "value": 0.0, "samples": 64, "engine": "float"}\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere:hits", "nowhere:hits: expected to import 'nowhere' from"),
        ("my_measures:absent", "my_measures:absent: expected 'absent' in my_measures, got no such name"),
        ("my_measures:constant", "metric: expected a name, a function of"),
        ("my_measures:undefined", "expected a finite undefined, got nan on 64 samples"),
        ("my_measures:", "expected package.module:function, got no name on one side of the colon"),
    ],
)
def test_a_wrong_name_is_one_line(files: Path, capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    assert command("evaluate", "--metric", name) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert err.count("\n") == 1


def test_quantize_searches_by_a_function(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--eval", "data.npz", "--max-drop", "5", "--calibrator", "max", "-o", "out")
    assert command("quantize", *words, "--metric", "my_measures:misses") == 0
    out = capsys.readouterr().out
    assert "misses 0.00, loss 0.00" in out
    assert "0.00 %" in out
    q = ig.quantize("net.onnx", "data.npz", max_drop=5.0, eval_data="data.npz", metric=share_right, calibrator="max")
    assert q.steps[-1].metric == "share_right"
    with pytest.raises(DataError, match="expected a finite metric of the float network, got nan"):
        ig.quantize("net.onnx", "data.npz", max_drop=1.0, eval_data="data.npz", metric=lambda y, t: float("nan"))


def test_a_fall_is_no_loss_where_lower_is_better(files: Path) -> None:
    """Scores of -error: the loss is the rise of the error, so that a recipe with a lower one holds at once."""

    def error(outputs: np.ndarray, targets: np.ndarray) -> float:
        return float((outputs.argmax(1) != targets).mean())

    given = {"max_drop": 0.0, "eval_data": "data.npz", "metric": error, "calibrator": "max"}
    q = ig.quantize("net.onnx", "data.npz", "w4a4", higher_is_better=False, **given)
    steps = [step for step in q.steps if step.metric == "error"]
    assert q.steps[-1].after == min(step.after for step in steps if step.after is not None)
