"""Members of `struct ig_add`."""

from __future__ import annotations

from typing import Any

from intaglio.kernels.kernel import Tensor, requantize_fields
from intaglio.kernels.kernel_layout import binary_fields
from intaglio.program.operators.add import Add


def add_fields(op: Add, a: Tensor, b: Tensor, y: Tensor) -> dict[str, Any]:
    """What every kernel of `add` for single elements reads."""
    return {
        "a_requantize": requantize_fields(op.a_requantize),
        "b_requantize": requantize_fields(op.b_requantize),
        "requantize": requantize_fields(op.requantize),
        "a_zero_point": op.a_zero_point,
        "b_zero_point": op.b_zero_point,
        "y_zero_point": op.y_zero_point,
        "left": 1 << op.left_shift,
        "sign": op.b_sign,
        "low": op.low,
        "high": op.high,
        **binary_fields(a, b, y),
    }
