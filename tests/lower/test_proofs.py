"""What cannot be integers is said before anything is lowered, with every reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import LoweringError
from intaglio.plan import Source


@pytest.fixture(scope="module")
def quantized() -> ig.Quantized:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1), nn.Flatten())
    x = np.random.default_rng(0).normal(size=(16, 3, 6, 6)).astype(np.float32)
    return ig.quantize(ig.load(net.eval(), (torch.zeros(1, 3, 6, 6),)), x, calibrator="max")


def copy(quantized: ig.Quantized) -> ig.Quantized:
    return ig.Quantized(quantized.graph, quantized.plan.copy())


def node(quantized, op_type):
    return next(n for n in quantized.graph.nodes if n.op_type == op_type)


def test_a_calibrated_network_lowers(quantized):
    quantized.lower().verify()


def test_values_without_parameters_are_listed_together(quantized):
    broken = copy(quantized)
    missing = [v for v in broken.plan.values.values() if v.source is Source.OWN][:3]
    for value in missing:
        value.params = None
    with pytest.raises(LoweringError) as error:
        broken.lower()
    for value in missing:
        assert any(f"value {value.name!r} has no parameters: calibrate first" in b for b in error.value.blockers)


def test_an_operator_that_stays_float_is_named_with_its_reason(quantized):
    broken = copy(quantized)
    name = node(broken, "MaxPool").name
    broken.plan.operators[name] = dataclasses.replace(broken.plan.operators[name], integer=False, why="asked for")
    with pytest.raises(LoweringError, match=f"MaxPool '{name}'.*stays float: asked for"):
        broken.lower()


def test_a_move_onto_another_grid_is_refused(quantized):
    broken = copy(quantized)
    pool = node(broken, "MaxPool")
    value = broken.plan[pool.outputs[0].name]
    params = broken.plan.params(pool.inputs[0].name)
    value.source, value.of = Source.OWN, ()
    value.params = dataclasses.replace(params, scale=params.scale * 2)
    with pytest.raises(LoweringError, match="moves integers, but the Plan gives value"):
        broken.lower()
