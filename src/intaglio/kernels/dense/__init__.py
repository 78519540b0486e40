"""Kernels of `dense`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.dense import cortex_m_dense as small
from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.vector.chain import chain_call
from intaglio.kernels.vector.convolutions import dense_link
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.kernels.weighted_kernel import scalar_call
from intaglio.program.operators.dense import Dense


def scalar(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Plain C, any parameters; one unit per output channel."""
    x = inputs[0]
    fields = {"rows": x.size // x.shape[-1], "depth": x.shape[-1], "out_channels": y.shape[-1]}
    return scalar_call(op, x, y, fields, units=y.shape[-1])


def rows(vector: Vector) -> Bind:
    """Vectors, as a convolution."""

    def bind(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return chain_call([dense_link(op, inputs[0], y)], vector)

    return bind


KERNELS = (
    *(Kernel("dense", isa, rows(vector)) for isa, vector in VECTORS.items()),
    Kernel("dense", "dsp", small.dsp),
    Kernel("dense", "scalar", small.plain),
    Kernel("dense", "scalar", scalar),
)
