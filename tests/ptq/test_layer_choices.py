"""Layers of a PyTorch network are given other formats, or ignored, by the names of its modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import UsageError
from intaglio.number import INT16
from intaglio.ptq.recipe import Recipe


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()), nn.Conv2d(4, 4, 1))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(8, 2, 6, 6)).astype(np.float32)


def quantized(network: nn.Module, x: np.ndarray, target: str = "cpu-int8", **choices: object) -> ig.Quantized:
    plain = Recipe(calibrator="max", equalize=False, bias_correction=False, **choices)  # type: ignore[arg-type]
    return ig.quantize(network, x, target, example_inputs=torch.zeros(1, 2, 6, 6), recipe=plain)


def in_16_bits(q: ig.Quantized) -> list[str]:
    return [name for name, value in q.plan.values.items() if value.format is not None and value.format.type == INT16]


def test_modules_are_given_16_bits_by_name(network: nn.Module, x: np.ndarray) -> None:
    q = quantized(network, x, layers={"0.1": "a16", "first": "w8"}, ignored=["0.2"])
    # 1 moves the integers of 0.2; 2 has 16 bits because it returns the scores
    assert in_16_bits(q) == ["0.1.1", "0.2", "1", "2"]
    assert q.plan.operators["0.1.0"].fused == ("0.1.1",)
    wide, usual = q.lower().run(x), quantized(network, x).lower().run(x)
    exact = network(torch.from_numpy(x)).detach().numpy()
    assert np.abs(wide - exact).max() < np.abs(usual - exact).max()


def test_ignored_layers_have_the_most_bits_of_the_target(network: nn.Module, x: np.ndarray) -> None:
    q = quantized(network, x, "w4a8", ignored="0.1")
    widths = {name: value.format.type.bits for name, value in q.plan.values.items() if name.endswith(".weight")}
    usual = {
        name: v.format.type.bits for name, v in quantized(network, x, "w4a8").plan.values.items() if name in widths
    }
    assert {name for name in widths if widths[name] != usual[name]} == {"0.1.0.weight"}
    assert widths["0.1.0.weight"] == 8


def test_layers_override_ignored_and_both_are_kept(network: nn.Module) -> None:
    recipe = Recipe(ignored="0.*", layers={"0.*": "a8"})
    assert recipe.layers == {"0.*": "a8"}
    assert recipe.to_json()["ignored"] == ["0.*"]
    assert Recipe(ignored=["0", "2"]).layers == {"0": "widest", "2": "widest"}


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"ignored": [nn.Linear]}, "ignored: expected names or patterns of layers .*, got the class Linear"),
        ({"ignored": [nn.Linear(2, 2)]}, "ignored: expected names or patterns of layers .*, got a Linear"),
        ({"layers": {"0.1": 16}}, "layers: expected names with formats .*, got '0.1': 16"),
        ({"layers": ["0.1"]}, "layers: expected a dict .*, got list"),
    ],
)
def test_layers_and_formats_are_text(choices: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Recipe(**choices)


def test_training_ignores_layers_as_quantize_does(network: nn.Module, x: np.ndarray) -> None:
    trained = ig.prepare_qat(network, torch.zeros(1, 2, 6, 6), "w4a8", ignored="0.1").plan
    plan = quantized(network, x, "w4a8", ignored="0.1").plan
    weights = [name for name in plan.values if name.endswith(".weight")]
    assert [trained[name].format for name in weights] == [plan[name].format for name in weights]
