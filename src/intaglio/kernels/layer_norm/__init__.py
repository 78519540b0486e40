"""Kernels of `layer_norm`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from intaglio.kernels.kernel import Call, Kernel, Long, Tensor, requantize_fields, rule_name, scale_function
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.kernels.vector.vector_isas import VECTORS
from intaglio.program.operators.layer_norm import LayerNorm

_CHANNELS = 64  # IG_CHANNELS of the C
_INT32_MAX = (1 << 31) - 1
_LEAST_POSITIONS = 512  # so many elements of a channel pay for a table of 256


def scalar(op: LayerNorm, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per group."""
    x = inputs[0]
    name = f"ig_layer_norm_{x.short}_{y.short}_{rule_name(op.requantize)}__scalar"
    fields = _fields(op, x)
    acc = "int64_t" if op.requantize.wide else "int32_t"
    source = template("layer_norm/scalar.h", name, x=x.c_type, y=y.c_type, acc=acc, scale=scale_function(op.requantize))
    units = x.size // (fields["inner"] * fields["width"])
    return Call(name, (source,), "struct ig_layer_norm", fields, units=units, may_alias=in_place(inputs, y))


def tables(op: LayerNorm, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Plain C, a table of results for each channel; for images of 8 bits, on processors with a cache."""
    x, fields = inputs[0], _fields(op, inputs[0])
    if x.type.bits != 8 or x.type.bipolar or fields["inner"] < _LEAST_POSITIONS or fields["largest"] == _INT32_MAX:
        return None
    name = f"ig_layer_norm_{x.short}_{y.short}_{rule_name(op.requantize)}__tables"
    acc = "int64_t" if op.requantize.wide else "int32_t"
    source = template("layer_norm/tables.h", name, x=x.c_type, y=y.c_type, acc=acc, scale=scale_function(op.requantize))
    run = max(1, _CHANNELS // fields["width"])
    units = x.size // (fields["inner"] * x.shape[-1]) * -(-fields["groups"] // run)
    scratch = _CHANNELS * 256 * y.type.dtype.itemsize
    alias = in_place(inputs, y)
    return Call(name, (source,), "struct ig_layer_norm", fields, units=units, may_alias=alias, scratch=scratch)


def _fields(op: LayerNorm, x: Tensor) -> dict[str, Any]:
    groups = op.groups or 1
    return {
        "gain": op.gain,
        "bias": op.bias,
        "epsilon": Long(op.epsilon),
        "requantize": requantize_fields(op.requantize),
        "spread": op.spread,
        "precision": op.precision,
        "centred": int(op.x_zero_point is None),
        "x_zero_point": op.x_zero_point or 0,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "inner": math.prod(x.shape[len(x.shape) - 1 - (op.inner or 0) : -1]),
        "groups": groups,
        "width": x.shape[-1] // groups,
        "largest": min(op.largest_normal(x.shape), _INT32_MAX),
    }


KERNELS = (
    *(Kernel("layer_norm", isa, tables) for isa in VECTORS),
    Kernel("layer_norm", "scalar", scalar),
)
