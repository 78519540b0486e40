"""What every product of activations and constant weights needs: the bound of its accumulators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.number import QuantParams


def largest_offset(params: QuantParams) -> int:
    """The largest |q - zero_point| that a tensor with these parameters can hold."""
    zero_point = int(params.zero_point)
    return max(params.type.qmax - zero_point, zero_point - params.type.qmin)


def product_bound(weight: NDArray[Any], x: QuantParams, bias: NDArray[np.int64]) -> int:
    """The largest |accumulator| that any input can cause: `max over o of |bias[o]| + sum |w[o]| * max|q_x - z_x|`.

    Args:
        weight: codes minus zero point, (O, K).
        x: parameters of the activations.
        bias: (O,).
    """
    sums = np.abs(weight.astype(np.int64)).sum(axis=1) * largest_offset(x) + np.abs(bias)
    return int(sums.max(initial=0))
