"""Sums for Cortex-M: of bytes, without 64-bit arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.add.fields import add_fields
from intaglio.kernels.cortex_m import BYTES, finish
from intaglio.kernels.kernel import Call, Tensor
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.number import Rule
from intaglio.program.operators.add import Add


def plain(op: Add, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Any processor; operands of equal shape."""
    a, b = inputs
    rule = op.requantize.rule
    factors = (op.a_requantize, op.b_requantize)
    if not (
        a.shape == b.shape == y.shape
        and a.short in BYTES
        and b.short in BYTES
        and op.left_shift == 20
        and rule in (Rule.HALF_UP, Rule.TFLITE)
        and all(0 <= int(f.shift.min()) <= 14 and f.rule is rule and not f.wide for f in factors)
    ):
        return None
    name = f"ig_add_{a.short}_{b.short}_{y.short}_{finish(op.requantize)}__plain"
    source = template(
        "add/plain.h",
        name,
        a=a.c_type,
        b=b.c_type,
        y=y.c_type,
        operand=f"ig_operand_{rule.value}",
        finish=f"ig_finish_{finish(op.requantize)}",
    )
    return Call(name, (source,), "struct ig_add", add_fields(op, a, b, y), units=y.size, may_alias=in_place(inputs, y))
