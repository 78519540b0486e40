"""Elementwise sums as stages of a pipeline of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.kernels.kernel import CSource, Struct, Tensor
from intaglio.kernels.vector.row_factors import Factors
from intaglio.kernels.vector.row_stage import Layout, RowStage, row_stage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.number import Requantize, Rule
from intaglio.program.operators.add import Add


def serves_add(op: Add, inputs: Sequence[Tensor], y: Tensor) -> bool:
    """Equal shapes, a form of requantization; 8-bit codes, or signed ones of 16 bits around 0."""
    a, b = inputs
    small = op.left_shift == 20 and max(t.type.bits for t in (a, b, y)) <= 8
    long = op.left_shift == 15 and all(t.type.bits > 8 and t.type.signed for t in (a, b, y))
    return (
        a.shape == b.shape == y.shape
        and (small or (long and op.a_zero_point == op.b_zero_point == 0))
        and _form(op) is not None
    )


def add_stage(
    op: Add, inputs: Sequence[Tensor], y: Tensor, vector: Vector, to: Layout, *, swap: bool = False
) -> RowStage:
    """The stage of a sum; the first operand comes from the stage before, the second is the pipeline's own.

    Args:
        op: passes `serves_add`.
        inputs, y: its operands.
        vector: the instruction set.
        to: where its rows are written: a tensor.
        swap: the second operand comes from the stage before, and the first is the pipeline's own.
    """
    sides = [(inputs[0], op.a_zero_point, op.a_requantize), (inputs[1], op.b_zero_point, op.b_requantize)]
    if swap:
        sides.reverse()
    (a, a_zero, a_factor), (b, b_zero, b_factor) = sides
    height, width = rows_of(y)
    width *= y.type.dtype.itemsize
    subtract = (2 if swap else 1) if op.b_sign < 0 else 0
    halves = [int(_is_half(f)) for f in (a_factor, b_factor)]
    form = _form(op)
    assert form is not None
    name = f"ig_add_{a.short}{halves[0]}_{b.short}{halves[1]}_{y.short}_{subtract}_{form}__{vector.isa}"
    lane = np.zeros((1, vector.lanes), np.int64)
    fields = {
        "a_factors": _one(_further(a_factor, op), 0, op).records(form, lane).reshape(-1),
        "b_factors": _one(_further(b_factor, op), 0, op).records(form, lane).reshape(-1),
        "factors": _one(op.requantize, op.y_zero_point, op).records(form, lane).reshape(-1),
        "a_zero_point": a_zero + 128 * a.type.signed,
        "b_zero_point": b_zero + 128 * b.type.signed,
        "x_row": width,
        "y_row": width,
        "nbytes": width,
        "low": op.low,
        "high": op.high,
    }
    defines = {
        "IG_NAME": name,
        "IG_FORM_": form,
        "IG_LEFT_": op.left_shift + _more(op),
        "IG_A_HALF_": halves[0],
        "IG_B_HALF_": halves[1],
        "IG_FLIP_A_": int(a.type.signed),
        "IG_FLIP_B_": int(b.type.signed),
        "IG_SUBTRACT_": subtract,
        "IG_PACK": f"ig_pack_clamped_{y.short}",
    }
    source = CSource(
        f"vector/add{'16' if y.type.bits > 8 else ''}_rows.h", tuple((k, str(v)) for k, v in defines.items())
    )
    sources = (vector.source, source)
    return row_stage(name, sources, Struct("struct ig_add_rows", fields), height, width, skips=True)


def rows_of(y: Tensor) -> tuple[int, int]:
    """Rows of a tensor and elements of each: an image's own rows, otherwise pieces of about a kilobyte, else one."""
    if len(y.shape) == 4 and y.shape[0] == 1:
        return y.shape[1], y.size // y.shape[1]
    return 1, y.size


def _more(op: Add) -> int:
    """Bits that operands are shifted to the left further than the operator says, so that the form `fast` applies."""
    return {20: 2, 15: 1}[op.left_shift] if op.requantize.rule is Rule.HALF_UP else 0


def _is_half(factor: Requantize) -> bool:
    return float(factor.real) == 0.5


def _further(factor: Requantize, op: Add) -> Requantize:
    """The factor of an operand that is shifted further; that of a half is not used, but must have a record."""
    more = 2 if _is_half(factor) else _more(op)
    return Requantize(factor.multiplier, (factor.shift + more).astype(np.int32), factor.rule, factor.wide)


def _form(op: Add) -> str | None:
    """The form of requantization that serves all three factors."""
    sides = [_one(_further(f, op), 0, op) for f in (op.a_requantize, op.b_requantize)]
    found = {f.form(("fast", "tflite", "shift", "even")) for f in (*sides, _one(op.requantize, op.y_zero_point, op))}
    return found.pop() if len(found) == 1 else None


def _one(factor: Requantize, zero_point: int, op: Add) -> Factors:
    # 255 * 2**20 and 65535 * 2**15; the forms `fast` have their own proof, with operands that are shifted further.
    bound = 0 if factor.rule is Rule.HALF_UP else {20: 1 << 28, 15: (1 << 31) - 1}[op.left_shift]
    return Factors.plain(factor, zero_point, np.full(1, bound, np.int64))
