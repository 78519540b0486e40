"""Kernels of `clamp_channels`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import in_place, template
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.clamp_channels import ClampChannels


def scalar(op: ClampChannels, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    x = inputs[0]
    name = f"ig_clamp_channels_{x.short}__scalar"
    source = template("clamp_channels/scalar.h", name, x=x.c_type)
    fields = {
        "lower": op.lower.reshape(-1),
        "upper": op.upper.reshape(-1),
        "channels": op.lower.size,
    }
    return Call(name, (source,), "struct ig_clamp_channels", fields, units=y.size, may_alias=in_place(inputs, y))


def rows(vector: Vector) -> Bind:
    """Vectors of bytes."""

    def bind(op: ClampChannels, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        call = chain_call([Link(op, tuple(inputs), y)], vector)
        return call and replace(call, may_alias=in_place(inputs, y))

    return bind


KERNELS = (
    *(Kernel("clamp_channels", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("clamp_channels", "scalar", scalar),
)
