"""Kernels of `layer_norm`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Long, Tensor, requantize_fields, scale_function
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.program.operators.layer_norm import LayerNorm


def scalar(op: LayerNorm, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per row."""
    x = inputs[0]
    wide = "_wide" if op.requantize.wide else ""
    name = f"ig_layer_norm_{x.short}_{y.short}_{op.requantize.rule.value}{wide}__scalar"
    fields = {
        "gain": op.gain,
        "bias": op.bias,
        "epsilon": Long(op.epsilon),
        "requantize": requantize_fields(op.requantize),
        "spread": op.spread,
        "precision": op.precision,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
        "length": x.shape[-1],
    }
    acc = "int64_t" if op.requantize.wide else "int32_t"
    source = template("layer_norm/scalar.h", name, x=x.c_type, y=y.c_type, acc=acc, scale=scale_function(op.requantize))
    rows = x.size // x.shape[-1]
    return Call(name, (source,), "struct ig_layer_norm", fields, units=rows, may_alias=in_place(inputs, y))


KERNELS = (Kernel("layer_norm", "scalar", scalar),)
