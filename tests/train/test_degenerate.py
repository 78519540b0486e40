"""Quantizers of tensors that are 0, constant, tiny or not finite: a defined grid, or an error that names the value."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, INT8, IntType, PerChannel, PerTensor, Scheme
from intaglio.plan import Format
from intaglio.train import nn
from intaglio.train.quantizers.quantizer_registry import METHODS

TYPES = (IntType(16), INT8, IntType(8, signed=False), IntType(4, narrow=True), IntType(2), IntType(2, narrow=True))
FORMATS = [
    *(
        Format(kind, scheme, granularity)
        for kind in TYPES
        for scheme in Scheme
        for granularity in (PerTensor(), PerChannel(0))
    ),
    *(Format(BIPOLAR, scheme, PerTensor()) for scheme in (Scheme.SYMMETRIC, Scheme.POWER_OF_TWO)),
]
QUANTIZERS = [
    *dict.fromkeys((made.wanted, False) for made, _ in METHODS.values()),
    *dict.fromkeys((made, True) for _, made in METHODS.values()),
]
CASES = [
    (make, format, of_values)
    for make, of_values in QUANTIZERS
    for format in FORMATS
    if make.takes(format) and not (of_values and format.granularity != PerTensor())
]
NAMES = [f"{make.__name__}-{format}".replace(" ", "-") + "-value" * of_values for make, format, of_values in CASES]
DEAD = torch.zeros(3, 4)
LIVE = torch.linspace(-1, 1, 12).reshape(3, 4)


@pytest.mark.parametrize(("make", "format", "of_values"), CASES, ids=NAMES)
def test_degenerate_tensors_have_a_defined_grid(make, format, of_values) -> None:
    one_dead = torch.cat([DEAD[:1], LIVE[1:]])
    for x in (DEAD, one_dead, LIVE.abs() * 1e-42, LIVE * 1e-37, torch.full((3, 4), -2.5)):
        quantizer = make(format, format.granularity.param_shape((3, 4)))
        given = x.clone().requires_grad_()
        quantizer.train()(given).sum().backward()
        assert bool(given.grad.isfinite().all())
        assert all(bool(p.grad.isfinite().all()) for p in quantizer.parameters() if p.grad is not None)
        if not of_values:  # a batch norm's factor may make a small scale smaller still
            quantizer.measured_in(torch.full((3,), 50.0))
        with torch.no_grad():
            y = quantizer.eval()(x)
        assert bool(y.isfinite().all())
        assert np.isfinite(quantizer.params().fake_quantize(quantizer.frozen(x).numpy())).all()
        if not format.type.bipolar:
            assert bool((y[x == 0] == 0).all()), "0 is a code of every grid"


@pytest.mark.parametrize(("make", "format", "of_values"), CASES, ids=NAMES)
def test_a_collapsed_scale_is_an_error_that_names_the_value(make, format, of_values) -> None:
    for number in (math.nan, math.inf):
        x = LIVE.clone()
        x[1, 1] = number
        quantizer = make(format, format.granularity.param_shape((3, 4)))
        quantizer.train()(x)
        quantizer.eval()(x)
        assert bool(quantizer.collapsed())
        with pytest.raises(UsageError, match=r"value 'fc.weight': (scale|zero point): expected .* got .*(nan|inf)"):
            quantizer.named_params("fc.weight")


@pytest.mark.parametrize("method", ["range", "lsq", "tqt", "pact", "dorefa"])
def test_a_layer_of_zero_weights_freezes_to_zeros(method: str) -> None:
    net = torch.nn.Sequential(
        nn.Input(),
        nn.ConvBn2d(1, 3, 3, activation="relu", method=method),
        nn.Conv2d(3, 2, 3, bias=True, method=method),
    )
    with torch.no_grad():
        net[1].bn.bias.fill_(-100.0)
        net[2].weight[1] = 0.0
        net[2].bias.copy_(torch.tensor([0.7, -0.3]))
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    for _ in range(3):
        net.train()(x).sum().backward()
    with torch.no_grad():
        want = net.eval()(x).numpy()
    assert np.abs(want - np.array([0.7, -0.3]).reshape(1, 2, 1, 1)).max() < 0.02
    q = ig.freeze(net, x[:1])
    assert np.abs(q.simulate(x.numpy()) - want).max() < 0.01
    assert np.abs(q.lower().run(x.numpy()) - want).max() < 0.01


def test_freezing_with_a_collapsed_scale_names_the_value() -> None:
    net = torch.nn.Sequential(nn.Input(), nn.Conv2d(1, 2, 3))
    x = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    net(x)
    with torch.no_grad():
        net[1].output_quantizer.zero_point.fill_(math.nan)
    with pytest.raises(UsageError, match=re.escape("value '1.output_quantizer': zero point: expected finite numbers")):
        ig.freeze(net, x)
    qat = ig.prepare_qat(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()).eval(), x)
    qat(x)
    with torch.no_grad():
        qat.quantizer("0.weight").scale.fill_(math.nan)
    with pytest.raises(UsageError, match=r"value '0.weight': scale: expected a finite value .* got np.float32\(nan\)"):
        ig.freeze(qat)
