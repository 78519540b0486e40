"""Results half way between two codes but for a hair: scales are moved so that float32 rounds as integers do.

Simulation, and QDQ files in other engines, compute in float32. What lies within its errors of a tie goes one way there
and the other way in integers. Where such a result is a common one, many outputs differ at once, and layers of few bits
make much of each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.calibrate.adjust import channels_of, note, rescaled
from intaglio.number import QuantParams, Scheme
from intaglio.plan import ValuePlan

_SUMS = np.arange(1, 33)  # of products: the smallest that ties is one of these, for its odd multiples tie as well
_WIDTH = 2.0**-19  # of a factor: what float32 loses on the way to a sum of products, with a margin
_MOVE = 1 + 2.0**-14  # up to 1/64 of a step of 8 bits; more than float32 loses where terms cancel


def leave_product_ties(x: ValuePlan, w: ValuePlan, y: ValuePlan, gain: float, where: str) -> None:
    """Raise weight scales with which small sums of products tie: factors near odd fractions, such as 7/8.

    Powers of two compute exactly in either, ties included, and stay. So do those behind which results are finer than 8
    bits: a step is next to nothing there, and the move would be several.

    Args:
        x, w, y: plans of the data, the weight, which is changed, and the result.
        gain: what the operator multiplies its products with.
        where: it is, for errors.
    """
    of_x, of_w, of_y = _params(x), _params(w), _params(y)
    if of_y.type.bits > 8 or _is_power_of_two(w):
        return
    scale = of_w.scale.astype(np.float64)
    factor = scale * float(of_x.scale) * abs(gain) / float(of_y.scale)
    exact = all(_exact(part) for part in (of_x.scale, of_y.scale, abs(gain))) & _exact(scale)
    halves = 2 * factor[..., None] * _SUMS
    near = np.rint(halves)
    ties = ((np.abs(halves - near) <= near * _WIDTH) & (near % 2 == 1)).any(axis=-1) & ~exact
    if not ties.any():
        return
    w.params = rescaled(of_w, np.where(ties, scale * _MOVE, scale), where, w.name)
    which = f" of {channels_of(np.flatnonzero(ties))}" if scale.ndim else ""
    note(w, f"scale{which} raised by 0.006 %: sums would lie half way between two codes of the output")


def _exact(scale: ArrayLike) -> NDArray[np.bool_]:
    """Powers of two: float32 loses nothing of them."""
    return np.asarray(np.frexp(scale)[0] == 0.5)


def _is_power_of_two(value: ValuePlan) -> bool:
    return value.format is None or value.format.scheme is Scheme.POWER_OF_TWO


def _params(value: ValuePlan) -> QuantParams:
    assert value.params is not None, value.name
    return value.params
