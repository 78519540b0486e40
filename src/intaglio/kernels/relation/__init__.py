"""Kernels of `relation`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import binary_fields, in_place, template
from intaglio.program.operators.relation import Relation


def scalar(op: Relation, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    a, b = inputs
    name = f"ig_relation_{a.short}_{b.short}__scalar"
    fields = {
        "a_zero_point": op.a_zero_point,
        "b_zero_point": op.b_zero_point,
        "a_multiplier": op.a_multiplier,
        "b_multiplier": op.b_multiplier,
        "offset": op.offset,
        "below": int(op.below),
        "equal": int(op.equal),
        "above": int(op.above),
        **binary_fields(a, b, y),
    }
    source = template("relation/scalar.h", name, a=a.c_type, b=b.c_type)
    return Call(name, (source,), "struct ig_relation", fields, units=y.size, may_alias=in_place(inputs, y))


KERNELS = (Kernel("relation", "scalar", scalar),)
