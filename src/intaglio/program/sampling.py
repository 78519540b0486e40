"""Random codes and parameters for the operators' `samples`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from intaglio.number import BIPOLAR, BOOLEAN, INT8, INT16, UINT8, IntType, PerChannel, PerTensor, QuantParams, Rule
from intaglio.program.operator import Ints

UINT16 = IntType(16, signed=False)
TYPES = (INT8, UINT8, INT16, UINT16)
SMALL_TYPES = (INT8, UINT8, IntType(4), IntType(3, signed=False), IntType(2), BOOLEAN, BIPOLAR)


def codes(rng: np.random.Generator, type: IntType, shape: tuple[int, ...], *, extreme: bool = False) -> Ints:
    """Codes of a type; every fourth or so is the smallest or largest one, all of them where `extreme`."""
    if type.bipolar:
        return rng.choice([-1, 1], shape).astype(type.dtype)
    x = rng.integers(type.qmin, type.qmax + 1, shape)
    ends = rng.choice([type.qmin, type.qmax], shape)
    return np.where(rng.random(shape) < (1.0 if extreme else 0.25), ends, x).astype(type.dtype)


def grid(type: IntType, scale: ArrayLike, zero_point: int = 0) -> QuantParams:
    """Parameters with one scale, or one per channel of axis 0 where `scale` is (C,)."""
    scale = np.asarray(scale, np.float32)
    granularity = PerChannel(0) if scale.ndim else PerTensor()
    return QuantParams(type, scale, np.full(scale.shape, zero_point, np.int32), granularity)


def params(
    rng: np.random.Generator, type: IntType, rule: Rule = Rule.HALF_UP, scale: float = 0.05, *, symmetric: bool = False
) -> QuantParams:
    """One scale within a factor of 2 of `scale`, and a zero point.

    The scale is a power of two under the rule `shift`, and under those that differ from `half_up` in ties alone.
    """
    step = scale * 2.0 ** rng.uniform(-1, 1)
    if rule in (Rule.SHIFT, Rule.HALF_EVEN, Rule.HALF_AWAY):
        step = 2.0 ** np.rint(np.log2(step))
    symmetric = symmetric or type.bipolar or rule is Rule.SHIFT
    zero_point = 0 if symmetric else int(rng.integers(type.qmin, type.qmax + 1))
    return grid(type, step, zero_point)
