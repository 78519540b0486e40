"""Learning rates are those of data of size 1: a network and the same one in other units learn alike."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from intaglio_tests.loop_net import CLASSES, arrays, raw_graph

from intaglio.train.loop.lr_scaling import magnitudes
from intaglio.train.loop.optimizer import FACTOR, make_optimizer, set_learning_rate
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat

UNIT = 256.0
EXACT = {"0.weight": 1 / (16 * UNIT), "0.bias": 1 / 16, "3.weight": 16.0, "input": UNIT, "1": 1 / 16}
"""How large the steps have to be after `in_other_units`."""


def net() -> torch.nn.Sequential:
    torch.manual_seed(4)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, CLASSES)
    )


def in_other_units(plain: torch.nn.Sequential) -> torch.nn.Sequential:
    """The same function of data `UNIT` times as large, whose hidden values are 1/16 as large."""
    other = copy.deepcopy(plain)
    conv, dense = other[0], other[3]
    assert isinstance(conv, torch.nn.Conv2d) and isinstance(dense, torch.nn.Linear) and conv.bias is not None
    with torch.no_grad():
        conv.weight /= 16 * UNIT
        conv.bias /= 16
        dense.weight *= 16
    return other


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = arrays(64)
    return torch.as_tensor(x), torch.as_tensor(y)


def losses(module: QuantizedModule, x: torch.Tensor, optimizer: str, sizes: dict[str, float]) -> list[float]:
    """Of 30 steps with steps of these sizes."""
    settings, y = TrainSettings(optimizer=optimizer, lr=0.01), batch()[1]
    module.pace(sizes)
    made = make_optimizer(module, settings, sizes)
    set_learning_rate(made, 0.01)
    found = []
    for _ in range(30):
        made.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(x), y) + module.penalty()
        loss.backward()
        made.step()
        found.append(loss.item())
    return found


def test_scaling_factors_are_the_sizes_of_parameters() -> None:
    x, _ = batch()
    plain, other = prepare_qat(net(), x[:1]), prepare_qat(in_other_units(net()), x[:1])
    assert magnitudes(plain, [x], classes=True) == {}
    found = magnitudes(other, [UNIT * x], classes=True)
    assert set(EXACT) <= set(found)
    for name, size in EXACT.items():
        # Hidden values had a size of 0.6: an octave is what sizes of 1 and 0.6 differ by.
        assert abs(math.log2(found[name] / size)) <= 1, name
        assert math.log2(found[name]).is_integer()


@pytest.mark.parametrize(
    ("target", "method", "optimizer"),
    [
        ("cpu-int8", "lsq", "adamw"),
        ("power2-int8", "tqt", "sgd"),
        pytest.param("cpu-int8", "lsq", "sgd", marks=pytest.mark.slow),
        pytest.param("power2-int8", "tqt", "adamw", marks=pytest.mark.slow),
        pytest.param("uint8-asymmetric", "pact", "sgd", marks=pytest.mark.slow),
        pytest.param("uint8-asymmetric", "pact", "adamw", marks=pytest.mark.slow),
    ],
)
def test_a_network_with_rescaled_parameters_learns_the_same(target: str, method: str, optimizer: str) -> None:
    x, _ = batch()
    plain = prepare_qat(net(), x[:1], target=target, method=method)
    other, wild = (prepare_qat(in_other_units(net()), UNIT * x[:1], target=target, method=method) for _ in range(2))
    want = losses(plain, x, optimizer, {})
    np.testing.assert_allclose(losses(other, UNIT * x, optimizer, EXACT), want, rtol=0.02, atol=1e-3)
    # Without it the first layer forgets all, or hardly moves.
    apart = np.subtract(losses(wild, UNIT * x, optimizer, {}), want)
    assert np.abs(apart).max() > 0.1


def test_weights_before_a_trainable_batch_norm_keep_their_learning_rate_at_usual_sizes() -> None:
    x, _ = batch()
    module = prepare_qat(raw_graph())
    assert "stem.0.weight" not in magnitudes(module, [4 * x], classes=True)
    assert magnitudes(module, [1000 * x], classes=True)["stem.0.weight"] < 1 / 100


def test_values_of_zero_do_not_scale_steps() -> None:
    """A channel that is 0 everywhere, and a batch norm that saw nothing vary."""
    module = prepare_qat(raw_graph())
    module.get_buffer("stem.1.running_var").zero_()
    assert magnitudes(module, [torch.zeros(8, 3, 8, 8)], classes=True).get("stem.0.weight") is None


def test_weight_decay_removes_the_same_share_of_each_weight() -> None:
    x, _ = batch()
    module = prepare_qat(in_other_units(net()), x[:1])
    made = make_optimizer(module, TrainSettings(optimizer="sgd", weight_decay=1e-3), {"0.weight": 0.25})
    found = {id(p): group for group in made.param_groups for p in group["params"]}
    group = found[id(module.get_parameter("0.weight"))]
    assert group[FACTOR] == 1 / 16
    assert group[FACTOR] * group["weight_decay"] == pytest.approx(1e-3)
