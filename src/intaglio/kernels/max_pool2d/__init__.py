"""Kernels of `max_pool2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template, window_fields
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.max_pool2d import MaxPool2d


def scalar(op: MaxPool2d, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per output row."""
    x = inputs[0]
    name = f"ig_max_pool2d_{x.short}__scalar"
    fields = {"window": window_fields(op.window, x, y), "low": op.low, "high": op.high}
    source = template("max_pool2d/scalar.h", name, x=x.c_type)
    return Call(name, (source,), "struct ig_max_pool2d", fields, units=y.shape[0] * y.shape[1], rows=1)


def rows(vector: Vector) -> Bind:
    """Vectors of bytes."""

    def bind(op: MaxPool2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return chain_call([Link(op, tuple(inputs), y)], vector)

    return bind


KERNELS = (
    *(Kernel("max_pool2d", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("max_pool2d", "scalar", scalar),
)
