"""What the kernels of layers that loop over time share: their constants, their macros, their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.kernels.kernel import C_TYPES, Call, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import template, weight_codes
from intaglio.program.recurrence import Recurrence

TABLES = ("sigmoid_table", "tanh_table", "state_table")


def scalar_call(op: Recurrence, inputs: Sequence[Tensor], y: Tensor, **macros: Any) -> Call:
    """The call of `<kind>/scalar.h`; `macros` are further ones, which the name tells apart."""
    x = inputs[0]
    weight, zero_point = weight_codes(op.weight, op.weight_zero_point)
    factors = (op.requantize, op.x_factor, op.to_hidden)
    hidden = Tensor((), op.hidden)
    each = [rule_name(factor) for factor in factors]
    rules = each[0] if len(set(each)) == 1 else "_".join(each)
    name = "_".join(
        [
            f"ig_{op.kind}",
            x.short,
            f"{hidden.short}{'_states' if op.states else ''}",
            *(["w16"] if weight.itemsize > 1 else []),
            *(key for key, value in macros.items() if value),
            rules,
        ]
    )
    source = template(
        f"{op.kind}/scalar.h",
        f"{name}__scalar",
        sums=f"{name}_sums",
        recurrent=f"{name}_recurrent",
        x=x.c_type,
        h=hidden.c_type,
        y=y.c_type,
        w=C_TYPES[weight.dtype.str[1:]],
        acc="int64_t" if op.requantize.wide else "int32_t",
        scale=scale_function(op.requantize),
        scale_x=scale_function(op.x_factor),
        scale_h=scale_function(op.to_hidden),
        **{key: int(value) for key, value in macros.items()},
    )
    k = weight.shape[0]
    scratch = 4 * (2 * k + op.size) + 2 * op.size * op.hidden.dtype.itemsize
    fields = {
        "weight": weight,
        "weight_zero_point": zero_point.reshape(-1) if zero_point.any() else None,
        "weight_zero_point_step": int(zero_point.size > 1),
        **common_fields(op, x, given=len(inputs) > 1),
    }
    struct = "struct ig_recurrence"
    return Call(f"{name}__scalar", (source,), struct, fields, units=x.shape[0], scratch=scratch, variadic=True)


def common_fields(op: Recurrence, x: Tensor, *, given: bool) -> dict[str, Any]:
    """Members of `struct ig_recurrence`, but for the weight and its zero point."""
    zero_point = np.broadcast_to(op.weight_zero_point.reshape(-1), op.weight.shape[:1]).astype(np.int64)
    sums = op.weight.astype(np.int64).sum(axis=1) - zero_point * op.size
    folded = -op.h_zero_point * sums
    return {
        "product_bias": folded.astype(np.int64 if op.requantize.wide else np.int32),
        "bias": op.bias,
        "x_factor": requantize_fields(op.x_factor),
        "requantize": requantize_fields(op.requantize),
        "to_hidden": requantize_fields(op.to_hidden),
        **{name: getattr(op, name, None) for name in TABLES},
        "start": op.start,
        "state_start": getattr(op, "state_start", None),
        "x_zero_point": op.x_zero_point,
        "h_zero_point": op.h_zero_point,
        "low": op.hidden.qmin,
        "high": op.hidden.qmax,
        "limit": op.limit,
        "state_shift": getattr(op, "state_shift", 0),
        "gain": getattr(op, "gain", 0),
        "finer": getattr(op, "finer", None) or 0,
        "steps": x.shape[1],
        "size": op.size,
        "gates": op.gates,
        "given": int(given),
        "reverse": int(op.reverse),
        "states": int(op.states),
    }
