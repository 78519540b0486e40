"""`intaglio.evaluate` and `intaglio.compare` take a torch.nn.Module; the first sample is its example input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import intaglio as ig
from intaglio.errors import UsageError


def network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()


def test_a_module_is_measured_as_its_graph() -> None:
    module = network()
    x = np.random.default_rng(0).normal(size=(20, 3, 8, 8)).astype(np.float32)
    with torch.no_grad():
        logits = module(torch.from_numpy(x)).numpy()
    score = ig.evaluate(module, (x, logits.argmax(1)))
    assert (score.value, score.engine) == (100.0, "float")
    assert ig.evaluate(module, iter(zip(x, logits.argmax(1), strict=True))).value == 100.0
    assert ig.evaluate(module, (x, logits), "mse").value < 1e-9
    q = ig.quantize(module, x, calibrator="max")
    found = ig.compare(module, q, x)
    assert found.to_json() == ig.compare(ig.load(module, torch.zeros(1, 3, 8, 8)), q, x).to_json()
    assert ig.compare(q, module, iter(x), example_inputs=torch.zeros(1, 3, 8, 8)).samples == 20
    with pytest.raises(
        UsageError, match="Sequential: expected example_inputs beside a torch.nn.Module, as an iterable"
    ):
        ig.compare(module, q, iter(x))


@pytest.mark.parametrize("channels", [1, 3])
def test_one_mean_is_that_of_the_channels_of_a_module(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / name).mkdir()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(tmp_path / name / "0.png")
    data = ig.pictures(tmp_path, size=8, mean=0.5, std=0.25)
    assert ig.quantize(network(channels), data, calibrator="max").graph.inputs[0].shape == (1, channels, 8, 8)
    assert ig.evaluate(network(channels), data).samples == 3
