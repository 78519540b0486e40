"""Kernels of `rnn`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.recurrent_kernel import scalar_call
from intaglio.program.operators.rnn import Rnn


def scalar(op: Rnn, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C, any parameters; one unit per sample."""
    return scalar_call(op, inputs, y)


KERNELS = (Kernel("rnn", "scalar", scalar),)
