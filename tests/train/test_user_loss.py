"""A user's own loss and data loader in the training loop, the command `train`, and the search."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from intaglio_tests.loop_net import CLASSES, arrays, dataset, raw_graph
from torch.utils.data import DataLoader, TensorDataset

import intaglio as ig
from intaglio.cli import main
from intaglio.data import match, open_data
from intaglio.errors import DataError, UsageError
from intaglio.search import recipe_search
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.prepare import prepare_qat

SETTINGS = TrainSettings(epochs=4, batch=32, optimizer="adamw", lr=0.02, seed=7)
GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn((160, 6), generator=GENERATOR)
Y = torch.sin(X @ torch.randn((6, 3), generator=GENERATOR))


def network() -> torch.nn.Module:
    torch.manual_seed(5)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3)).eval()


def module(target: str = "cpu-int8") -> Any:
    return prepare_qat(network(), X[:1], target)


def regression(count: int = 160) -> Any:
    pair = X[:count].numpy(), Y[:count].numpy()
    return match(open_data(pair, pair=True), (1, 6), targets="given")


def trained(data: Any, settings: TrainSettings = SETTINGS, **more: Any) -> Any:
    made = module()
    return made, train(made, data, settings, run_options=RunOptions(device="cpu", lines=1), **more)


class Absolute(torch.nn.Module):
    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).abs().mean()


def test_arguments_of_other_kinds_are_refused() -> None:
    loader = DataLoader(TensorDataset(X, Y), 32)
    with pytest.raises(UsageError, match="expected a module of prepare_qat, got Sequential; call intaglio.prepare_qat"):
        train(network(), loader, loss=F.mse_loss)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"expected TrainSettings, got dict; give TrainSettings\("):
        train(module(), loader, {"epochs": 1}, loss=F.mse_loss)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="got TensorDataset; put a torch Dataset into a DataLoader"):
        train(module(), TensorDataset(X, Y), loss=F.mse_loss)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"for a pair of arrays \(x, y\) use intaglio.data.match"):
        train(module(), (X, Y), loss=F.mse_loss)  # type: ignore[arg-type]


def test_a_module_in_training_is_no_network() -> None:
    made = module()
    for call in (ig.quantize, ig.evaluate):
        with pytest.raises(
            UsageError, match=r"got a QuantizedModule, .*; intaglio.freeze\(module\) returns it quantized"
        ):
            call(made, (X.numpy(), Y.numpy()))
    with pytest.raises(UsageError, match="compile: expected a Program, got QuantizedModule"):
        ig.compile(made)
    assert made.graph.name == "Sequential"


@pytest.mark.parametrize("loss", [F.mse_loss, Absolute(), Absolute, "torch.nn:HuberLoss"])
def test_a_network_that_is_no_classifier_learns_by_a_loss(loss: Any) -> None:
    _, result = trained(regression(), loss=loss, held_back=regression(64))
    scores = [p.score for p in result.curve if p.score is not None]
    assert scores[-1] < 0.98 * scores[0]
    assert {p.metric for p in result.curve} == {"loss"}
    assert result.best.score == min(scores), "less is better"
    assert "loss held back" in result.sentence()


def test_the_loss_gets_float32_outputs_and_targets_as_the_data_hold_them() -> None:
    seen: list[Any] = []

    def loss(outputs: torch.Tensor, targets: Any) -> torch.Tensor:
        seen.append((outputs.dtype, outputs.shape, targets))
        return outputs.square().mean()

    trained(regression(), replace(SETTINGS, steps=1, precision="bf16"), loss=loss)
    assert seen[-1][:2] == (torch.float32, (32, 3))
    assert seen[-1][2].dtype == torch.float32
    pair = X.numpy(), [{"boxes": np.zeros((i % 3, 4)), "labels": np.arange(i % 3)} for i in range(160)]
    trained(match(open_data(pair, pair=True), (1, 6), targets="given"), replace(SETTINGS, steps=1), loss=loss)
    targets = seen[-1][2]
    assert len(targets) == 32
    assert targets[0]["labels"].dtype == torch.int64


def test_a_users_cross_entropy_is_that_of_the_loop() -> None:
    settings = replace(SETTINGS, steps=1)
    results = [
        train(
            prepare_qat(raw_graph(), target="w4a8"),
            dataset(),
            settings,
            loss=loss,
            run_options=RunOptions(device="cpu"),
        )
        for loss in (None, F.cross_entropy)
    ]
    assert results[0].curve[0].loss == pytest.approx(results[1].curve[0].loss, rel=1e-6)


def test_a_loss_joins_distillation() -> None:
    made = module()
    teacher = network()
    settings = replace(SETTINGS, steps=2, distill=0.5)
    train(made, regression(), settings, loss=F.mse_loss, teacher=teacher, run_options=RunOptions(device="cpu"))
    for change, text in (({"distill": 1.0}, "weight of distillation below 1"), ({"label_smoothing": 0.1}, "smoothing")):
        with pytest.raises(UsageError, match=f"loss mse_loss: .*{text}"):
            trained(regression(), replace(SETTINGS, **change), loss=F.mse_loss)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (lambda outputs, targets: outputs - targets, r"expected a tensor with one number, got shape \(32, 3\)"),
        (lambda outputs, targets: 1.0, "expected a tensor with one number, got float 1.0"),
        (lambda outputs, targets: F.mse_loss(outputs, targets).detach(), "got one without gradient"),
        (lambda outputs, targets: outputs @ targets, "the call with outputs .* and targets .* raised RuntimeError"),
        (3, "expected a function of .* got int 3"),
        ("torch.nn:NoLoss", "expected 'NoLoss' in torch.nn, got no such name"),
    ],
)
def test_a_wrong_loss_is_one_clear_error(loss: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        trained(regression(), loss=loss)


def test_a_metric_chooses_the_best_network() -> None:
    def largest_error(outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.abs(outputs - targets).max())

    largest_error.higher_is_better = False  # type: ignore[attr-defined]
    made, result = trained(regression(), loss=F.mse_loss, metric=largest_error, held_back=regression(64))
    scores = [p.score for p in result.curve if p.score is not None]
    assert result.best.metric == "largest_error"
    assert result.best.score == min(scores)
    with torch.no_grad():
        assert float((made(X[:64]) - Y[:64]).abs().max()) == pytest.approx(result.best.score, rel=1e-5)


class Batches:
    """A loader that counts its epochs, without a length."""

    def __init__(self, size: int = 32) -> None:
        self.size, self.epochs = size, 0

    def __iter__(self) -> Iterator[Any]:
        self.epochs += 1
        for at in range(0, len(X), self.size):
            yield X[at : at + self.size], Y[at : at + self.size]


def generated() -> Iterator[Any]:
    yield from Batches(80)


@pytest.mark.parametrize(
    ("loader", "per_epoch"),
    [
        (Batches(), 5),
        (generated, 2),
        ([(X[:80], Y[:80]), (X[80:].numpy(), Y[80:].numpy())], 2),
        (DataLoader(TensorDataset(X, Y), 48, shuffle=True), 4),
        (DataLoader(TensorDataset(X, Y), 48, drop_last=True), 3),
        ([{"x": X, "y": Y}], 1),
    ],
    ids=["iterable", "function", "list", "DataLoader", "whole batches", "dict"],
)
def test_a_loader_is_read_anew_in_each_epoch(loader: Any, per_epoch: int) -> None:
    _, result = trained(loader, replace(SETTINGS, epochs=3), loss=F.mse_loss)
    assert result.steps == 3 * per_epoch
    losses = np.array([p.loss for p in result.curve]).reshape(3, per_epoch).mean(axis=1)
    assert losses[2] < losses[0]
    if isinstance(loader, Batches):
        assert loader.epochs >= 3


def test_a_loader_and_the_same_data_give_the_same_first_loss() -> None:
    x, y = (torch.from_numpy(a) for a in arrays())
    first = []
    for data in (DataLoader(TensorDataset(x, y), len(x)), match(open_data((x, y)), (1, 3, 8, 8))):
        made = prepare_qat(raw_graph(), target="w4a8")
        settings = replace(SETTINGS, steps=1, batch=len(x))
        first.append(train(made, data, settings, run_options=RunOptions(device="cpu")).curve[0].loss)
    assert first[0] == pytest.approx(first[1], rel=1e-4)


@pytest.mark.parametrize(
    ("loader", "error", "text"),
    [
        (
            iter([(X, Y)]),
            UsageError,
            "got an iterator, which can be read once; give a torch DataLoader, a list of batches",
        ),
        ([], DataError, "expected batches, got none"),
        ([(X[0], Y[0])], DataError, r"expected batches of input '.*' of shape \(N, 6\), got \(6,\)"),
        ([(X, Y, Y)], DataError, "expected a pair .inputs, targets., got tuple of 3"),
        ([X], DataError, "training needs targets, got none"),
        ([((X, X), Y)], DataError, "expected 1 inputs"),
        (TensorDataset(X, Y), UsageError, "expected an iterable of batches, got TensorDataset"),
    ],
)
def test_wrong_batches_are_one_clear_error(loader: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        trained(loader, loss=F.mse_loss)


def test_labels_of_a_loader_are_checked() -> None:
    x, y = (torch.from_numpy(a) for a in arrays())
    for labels, text in ((y + CLASSES, f"labels from 0 to {CLASSES - 1}, got"), (y.float(), "expected a class index")):
        with pytest.raises(DataError, match=text):
            train(
                prepare_qat(raw_graph(), target="w4a8"), [(x, labels)], SETTINGS, run_options=RunOptions(device="cpu")
            )
    with pytest.raises(UsageError, match="augment: expected none beside a loader, got flip"):
        trained([(X, Y)], replace(SETTINGS, augment=("flip",)), loss=F.mse_loss)


def test_a_loader_that_ends_early_is_an_error() -> None:
    class Shrinking(Batches):
        def __iter__(self) -> Iterator[Any]:
            yield from list(super().__iter__())[: 5 if self.epochs <= 2 else 0]

    with pytest.raises(DataError, match="expected 5 batches in each epoch, got 0"):
        trained(Shrinking(), loss=F.mse_loss)


def test_a_checkpoint_belongs_to_its_loss(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    train(
        module(), regression(), replace(SETTINGS, steps=2), loss=F.mse_loss, run_options=RunOptions(path, device="cpu")
    )
    resumed = RunOptions(path, resume=True, device="cpu")
    train(module(), regression(), replace(SETTINGS, steps=2), loss=F.mse_loss, run_options=resumed)
    with pytest.raises(UsageError, match="loss"):
        train(module(), regression(), replace(SETTINGS, steps=2), loss=Absolute(), run_options=resumed)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    ig.load(network(), X[:1]).save(tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", x=X.numpy(), y=Y.numpy())
    (tmp_path / "my_training.py").write_text(
        "import numpy as np\nimport torch\n\n"
        "def loss(outputs, targets):\n    return (outputs - targets).square().mean()\n\n"
        "def error(outputs, targets):\n    return float(np.abs(outputs - targets).mean())\n\n"
        "error.higher_is_better = False\n\n"
        "def loader():\n    data = np.load('data.npz')\n"
        "    pairs = torch.utils.data.TensorDataset(*(torch.from_numpy(data[k]) for k in 'xy'))\n"
        "    return torch.utils.data.DataLoader(pairs, 32, shuffle=True)\n\n"
        "def once():\n    return 3\n\nused_up = iter([])\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_training", None)


def command(*words: str) -> int:
    return main(["train", "net.onnx", *words, "--epochs", "1", "--batch", "32", "-o", "out", "--json"])


@pytest.mark.parametrize("data", ["data.npz", "my_training:loader"])
def test_the_command_takes_loss_loader_and_metric(files: Path, capsys: pytest.CaptureFixture[str], data: str) -> None:
    words = ("--data", data, "--loss", "my_training:loss", "--eval", "data.npz", "--metric", "my_training:error")
    assert command(*words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["integer"]["metric"] == "error"
    history = json.dumps(summary)
    assert "loss loss" in history
    assert ("batches of your loader" in history) is (data == "my_training:loader")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--data", "my_training:used_up", "--loss", "my_training:loss"), "got an iterator, which can be read once"),
        (("--data", "my_training:loader", "--loss", "my_training:absent"), "expected 'absent' in my_training"),
        (
            ("--data", "my_training:loader", "--loss", "my_training:loss", "--held-back", "9"),
            "held-back: expected 0 with",
        ),
        (("--data", "absent:loader"), "absent:loader: expected to import 'absent'"),
    ],
)
def test_wrong_arguments_are_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    assert command(*words) == 1
    err = capsys.readouterr().err
    assert text in err
    assert err.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.slow
def test_the_search_trains_by_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.abs(outputs - targets).mean())

    monkeypatch.setattr(recipe_search, "LEARNED", ())
    net = network()
    pair = X.numpy(), net(X).detach().numpy()
    q = ig.quantize(
        net, pair[0], "w2a8", calibrator="max", max_drop=0.0, eval_data=pair, metric=error, higher_is_better=False,
        train_data=pair, train_steps=2, train_loss=F.mse_loss, samples=32,
    )  # fmt: skip
    assert any("loss mse_loss" in str(step) for step in q.steps)
