"""Kernels of `average_pool2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor, requantize_fields, scale_function
from intaglio.kernels.kernel_layout import template, window_fields
from intaglio.kernels.vector.chain import chain_call
from intaglio.kernels.vector.convolutions import average_link
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.average_pool2d import AveragePool2d


def scalar(op: AveragePool2d, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per output row. Without a factor the sums are divided by the counts."""
    x = inputs[0]
    factor = op.requantize
    wide = "_wide" if factor is not None and factor.wide else ""
    rule = "divide" if factor is None else factor.rule.value
    name = f"ig_average_pool2d_{x.short}_{y.short}_{rule}{wide}__scalar"
    none = {"multiplier": None, "shift": None, "step": 0}
    fields = {
        "window": window_fields(op.window, x, y),
        "requantize": none if factor is None else requantize_fields(factor),
        "counts": op.counts.reshape(-1) if factor is None else None,
        "counts_step": int(op.counts.size > 1),
        "x_zero_point": op.x_zero_point,
        "y_zero_point": op.y_zero_point,
        "low": op.low,
        "high": op.high,
    }
    source = template(
        "average_pool2d/scalar.h",
        name,
        x=x.c_type,
        y=y.c_type,
        acc="int64_t" if wide else "int32_t",
        scale="ig_scale_half_up" if factor is None else scale_function(factor),
    )
    return Call(name, (source,), "struct ig_average_pool2d", fields, units=y.shape[0] * y.shape[1], rows=1)


def rows(vector: Vector) -> Bind:
    """Vectors, as a convolution."""

    def bind(op: AveragePool2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        link = average_link(op, inputs[0], y)
        return None if link is None else chain_call([link], vector)

    return bind


KERNELS = (
    *(Kernel("average_pool2d", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("average_pool2d", "scalar", scalar),
)
