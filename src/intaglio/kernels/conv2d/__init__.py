"""Kernels of `conv2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.conv2d import cortex_m_conv2d as small
from intaglio.kernels.kernel import Bind, Call, Kernel, Tensor
from intaglio.kernels.vector.chain import Link, chain_call
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.kernels.weighted_kernel import image_fields, scalar_call
from intaglio.program.operators.conv2d import Conv2d


def scalar(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Plain C, any parameters; one unit per output row, of all images."""
    x = inputs[0]
    return scalar_call(op, x, y, image_fields(op, x, y), units=y.shape[0] * y.shape[1], rows=1)


def gemm(vector: Vector) -> Bind:
    """Tiles of vectors, strip by strip."""

    def bind(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
        return chain_call([Link(op, tuple(inputs), y)], vector)

    return bind


KERNELS = (
    *(Kernel("conv2d", isa, gemm(vector)) for isa, vector in VECTORS.items()),
    Kernel("conv2d", "dsp", small.dsp),
    Kernel("conv2d", "scalar", small.plain),
    Kernel("conv2d", "scalar", scalar),
)
