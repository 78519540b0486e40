"""Kernels of `gru`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.recurrent_kernel import scalar_call
from intaglio.kernels.vector.recurrent_panels import recurrent_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program.operators.gru import Gru


def scalar(op: Gru, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters; one unit per sample."""
    return scalar_call(op, inputs, y, linear=op.linear_before_reset)


def rows(vector: Vector) -> Bind:
    """Vectors; one unit per sample."""

    def bind(op: Gru, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return recurrent_call(
            op,
            inputs,
            y,
            vector,
            largest=1 << 15,
            parts=1 if op.linear_before_reset else 2,
            linear=op.linear_before_reset,
        )

    return bind


KERNELS = (
    *(Kernel("gru", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("gru", "scalar", scalar),
)
