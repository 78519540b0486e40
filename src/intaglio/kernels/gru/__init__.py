"""Kernels of `gru`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.recurrent_kernel import scalar_call
from intaglio.program.operators.gru import Gru


def scalar(op: Gru, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters; one unit per sample."""
    return scalar_call(op, inputs, y, linear=op.linear_before_reset)


KERNELS = (Kernel("gru", "scalar", scalar),)
