"""`intaglio.train`: the training of the command in one call, beside the package of the same name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import DataError, UsageError
from intaglio.train.loop import TrainSettings


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3, 8, 8)).astype(np.float32), rng.integers(0, 3, 40)


def test_a_module_is_trained_and_frozen() -> None:
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    q = ig.train(module, samples(), "w4a8", steps=3, batch=8, seed=1, samples=16, ignored=["0"])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert isinstance(q, ig.Quantized)
    assert any("trained 3 steps on" in sentence for sentence in q.history)
    assert str(q.plan["0.weight"].format).startswith("int8")
    x = samples()[0][:4]
    assert q.lower().run(x).shape == (4, 3)
    again = ig.train(network(), samples(), "w4a8", settings=TrainSettings(steps=3, batch=8, seed=1), samples=16,
                     ignored="0")  # fmt: skip
    assert again.plan.to_json() == q.plan.to_json()


def test_a_loader_and_a_loss_of_ones_own() -> None:
    x, y = samples()
    loader = torch.utils.data.DataLoader(list(zip(torch.from_numpy(x), torch.from_numpy(y), strict=True)), 10)
    seen = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(len(targets))
        return nn.functional.cross_entropy(outputs, targets)

    q = ig.train(network(), loader, steps=2, loss=loss)
    assert seen[:2] == [10, 10]
    assert any("batches of your loader, loss loss" in sentence for sentence in q.history)


def test_the_package_keeps_its_names_and_has_the_signature_of_the_function() -> None:
    assert list(inspect.signature(ig.train).parameters)[:3] == ["model", "data", "target"]
    assert ig.train.nn.Conv2d.__name__ == "Conv2d"  # type: ignore[attr-defined]
    code = (
        "import sys, intaglio.train, intaglio as ig\n"
        "assert callable(ig.train) and ig.train is intaglio.train\n"
        "assert 'torch' not in sys.modules\n"
        "from intaglio.train import nn\n"
        "assert callable(ig.train)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"train: expected choices among .*, batch, .*method, .*got epoch"):
        ig.train(network(), samples(), epoch=2)
    with pytest.raises(TypeError, match="expected settings or its fields, got both: lr"):
        ig.train(network(), samples(), settings=TrainSettings(steps=1), lr=1e-3)
    with pytest.raises(DataError, match="labels are needed and there are none"):
        ig.train(network(), samples()[0], steps=1)
    with pytest.raises(UsageError, match="epochs: expected a number above 0, got -1"):
        ig.train(network(), samples(), epochs=-1)
    with pytest.raises(UsageError, match="expected a network, got a QuantizedModule"):
        ig.train(ig.prepare_qat(network(), torch.zeros(1, 3, 8, 8)), samples())
