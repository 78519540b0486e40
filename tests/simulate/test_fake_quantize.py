"""Fake quantization gives the numbers that the codes stand for, and its gradient is the straight-through one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intaglio.number import BIPOLAR, IntType, PerChannel, QuantParams
from intaglio.simulate import FakeQuantize

TYPES = (BIPOLAR, IntType(1, signed=False), IntType(2), IntType(2, narrow=True), IntType(4, signed=False), IntType(8))


def params_of(type: IntType, *, per_channel: bool, rng: np.random.Generator) -> QuantParams:
    scale = np.asarray(rng.uniform(0.1, 2, 5 if per_channel else ()), np.float32)
    zero = 0 if type.bipolar else rng.integers(type.qmin, type.qmax + 1, scale.shape)
    return QuantParams(type, scale, np.asarray(zero, np.int32), *([PerChannel(1)] if per_channel else []))


@pytest.mark.parametrize("type", TYPES, ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("learns", [False, True])
def test_it_is_what_the_codes_stand_for(type: IntType, per_channel: bool, learns: bool, rng) -> None:
    params = params_of(type, per_channel=per_channel, rng=rng)
    x = rng.normal(0, 3, (40, 5, 2)).astype(np.float32)
    x[0] = 0
    rounded = FakeQuantize(params, x.shape, torch.device("cpu"))
    given = torch.tensor(x, requires_grad=learns)
    got = rounded(given).detach().numpy()
    np.testing.assert_allclose(got, params.fake_quantize(x), rtol=1e-6, atol=1e-6)
    if type.bipolar:
        assert np.array_equal(np.sign(got), np.where(x >= 0, 1, -1))


def test_the_gradient_of_a_sign_passes_up_to_the_scale() -> None:
    """Binarized neural networks, eq. (4): the derivative of hard tanh, here with ends at plus and minus the scale."""
    x = torch.tensor([-3.0, -0.51, -0.49, -0.0, 0.2, 0.5, 0.6], requires_grad=True)
    params = QuantParams(BIPOLAR, np.float32(0.5))
    y = FakeQuantize(params, (7,), torch.device("cpu"))(x)
    assert y.tolist() == [-0.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5]
    y.sum().backward()
    inside = [0.0, 0.0, 1.0, 1.0, 1.0]
    assert x.grad[:5].tolist() == inside and x.grad[6] == 0
