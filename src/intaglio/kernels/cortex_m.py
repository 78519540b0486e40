"""What the kernels for small processors share: weights in fours and pairs, biases with the zero point inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.kernels.kernel import Tensor, requantize_fields
from intaglio.number import Requantize, Rule
from intaglio.program.weighted import Weighted

BYTES = ("s8", "u8")


def serves_bytes(op: Weighted, x: Tensor) -> bool:
    """Inputs and weights are bytes, and sums fit 32 bits."""
    return x.short in BYTES and op.weight_type.bits <= 8 and not op.requantize.wide


def finish(requantize: Requantize) -> str:
    """What `ig_finish_` is followed by: the rounding rule, and `_high` where no shift is below 2."""
    rule = requantize.rule
    return rule.value + ("_high" if rule is Rule.HALF_UP and int(requantize.shift.min()) >= 2 else "")


def offset_of(x: Tensor) -> int:
    """What makes the codes of x unsigned bytes."""
    return 128 if x.short == "s8" else 0


def folded_bias(op: Weighted, offset: int = 0) -> NDArray[np.int32]:
    """`bias - z_x * sum(w - z_w)`, modulo 2^32; `offset` is what is added to x, and so to z_x."""
    sums = op.centred().astype(np.int64).sum(tuple(range(1, op.weight.ndim)))
    return np.asarray(op.bias - (op.x_zero_point + offset) * sums).astype(np.int32)


def filled(weight: NDArray[Any], axis: int, multiple: int) -> NDArray[Any]:
    """Zeros behind, up to a multiple."""
    more = -weight.shape[axis] % multiple
    return np.pad(weight, [(0, more if a == axis else 0) for a in range(weight.ndim)])


def pairs_of_rows(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """(O, K), K a multiple of 8, to [O / 2][K / 4][2][4]."""
    weight = filled(weight, 0, 2)
    o, k = weight.shape
    return np.ascontiguousarray(weight.reshape(o // 2, 2, k // 4, 4).transpose(0, 2, 1, 3))


def fours_of_rows(weight: NDArray[np.int8]) -> NDArray[np.uint8]:
    """(O, K) to unsigned [O / 4][K][4]."""
    unsigned = filled((weight.astype(np.int16) + 128).astype(np.uint8), 0, 4)
    o, k = unsigned.shape
    return np.ascontiguousarray(unsigned.reshape(o // 4, 4, k).transpose(0, 2, 1))


def common_fields(op: Weighted) -> dict[str, Any]:
    """Members that every struct of weighted kernels has, but for weights and bias."""
    return {
        "requantize": requantize_fields(op.requantize),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
    }
