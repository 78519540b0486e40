"""Elementwise products as stages of a pipeline of rows; one operand may be a pixel (squeeze and excite)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.kernels.kernel import CSource, Struct, Tensor
from intaglio.kernels.vector.row_add import rows_of
from intaglio.kernels.vector.row_factors import Factors
from intaglio.kernels.vector.row_stage import Layout, RowStage, row_stage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.program.operators.mul import Mul


def serves_mul(op: Mul, inputs: Sequence[Tensor], y: Tensor, vector: Vector) -> bool:
    """8-bit codes, a form of requantization; operands of the output's shape, or one value per channel."""
    return (
        max(t.type.bits for t in (*inputs, y)) <= 8
        and all(t.shape == y.shape or _is_pixel(t, y) for t in inputs)
        and any(t.shape == y.shape for t in inputs)
        and _factors(op, inputs).form(vector.forms) is not None
    )


def mul_stage(
    op: Mul, inputs: Sequence[Tensor], y: Tensor, vector: Vector, to: Layout, *, swap: bool = False
) -> RowStage:
    """The stage of a product; the first operand comes from the stage before, the second is the pipeline's own.

    Args:
        op: passes `serves_mul`.
        inputs, y: its operands.
        vector: the instruction set.
        to: where its rows are written: a tensor.
        swap: the second operand comes from the stage before, and the first is the pipeline's own.
    """
    sides = [(inputs[0], op.a_zero_point), (inputs[1], op.b_zero_point)]
    if swap:
        sides.reverse()
    pixel = next((2 - k for k, (t, _) in enumerate(sides) if t.shape != y.shape), 0)
    if pixel == 2:
        sides.reverse()
    (a, a_zero), (b, b_zero) = sides
    height, width = rows_of(y)
    piece = y.shape[-1] if pixel else width
    factors = _factors(op, inputs)
    form = factors.form(vector.forms)
    assert form is not None
    name = f"ig_mul_rows{pixel}_{a.short}_{b.short}_{y.short}_{form}__{vector.isa}"
    fields = {
        "factors": factors.records(form, np.zeros((1, vector.lanes), np.int64)).reshape(-1),
        "a_zero_point": a_zero + 128 * a.type.signed,
        "b_zero_point": b_zero + 128 * b.type.signed,
        "pieces": width // piece,
        "nbytes": piece,
        "x_row": width,
        "y_row": to.pitch,
        "low": op.low,
        "high": op.high,
    }
    defines = {
        "IG_NAME": name,
        "IG_PIXEL_": pixel,
        "IG_FLIP_A_": int(a.type.signed),
        "IG_FLIP_B_": int(b.type.signed),
        "IG_FORM_": form,
        "IG_PACK": f"ig_pack_clamped_{y.short}",
    }
    sources = (vector.source, CSource("vector/mul_rows.h", tuple((k, str(v)) for k, v in defines.items())))
    return row_stage(name, sources, Struct("struct ig_mul_rows", fields), height, width, skips=True)


def _is_pixel(t: Tensor, y: Tensor) -> bool:
    """One image, and one value for each of its channels."""
    return y.size > 0 and len(y.shape) == 4 and y.shape[0] == 1 and t.shape[-1] == t.size == y.shape[-1]


def _factors(op: Mul, inputs: Sequence[Tensor]) -> Factors:
    reach = [t.type.max_abs_offset(z) for t, z in zip(inputs, (op.a_zero_point, op.b_zero_point), strict=True)]
    return Factors.plain(op.requantize, op.y_zero_point, np.array([reach[0] * reach[1]]))
