"""Kernels of `conv_transpose2d`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.weighted_kernel import image_fields, scalar_call
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d


def scalar(op: ConvTranspose2d, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters; one unit per output row."""
    x = inputs[0]
    return scalar_call(op, x, y, image_fields(op, x, y), units=y.shape[0] * y.shape[1])


KERNELS = (Kernel("conv_transpose2d", "scalar", scalar),)
