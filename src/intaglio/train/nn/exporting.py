"""Export mode of quantized layers: real numbers, with a mark at each value that a quantizer rounds.

A mark is a pair of QuantizeLinear and DequantizeLinear, which the exporter does not move or fold. Its scale is not a
real scale but identifies the quantizer: 1 + its index in the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from intaglio.train.quantizers.quantizer import Quantizer

_MARKED: ContextVar[list[Quantizer] | None] = ContextVar("marked", default=None)


@contextmanager
def exporting() -> Iterator[list[Quantizer]]:
    """Let quantized layers write marks inside the block; yield the list that collects their quantizers."""
    marked: list[Quantizer] = []
    token = _MARKED.set(marked)
    try:
        yield marked
    finally:
        _MARKED.reset(token)


def is_exporting() -> bool:
    """Return whether forward passes write marks."""
    return not torch.compiler.is_dynamo_compiling() and _MARKED.get() is not None


def mark(x: Tensor, quantizer: Quantizer) -> Tensor:
    """Return x with a mark of the quantizer that rounds it."""
    marked = _MARKED.get()
    assert marked is not None
    index = next((k for k, other in enumerate(marked) if other is quantizer), len(marked))
    if index == len(marked):
        marked.append(quantizer)
    x = x.float()
    scale, zero_point = torch.tensor(float(1 + index)), torch.tensor(0, dtype=torch.int8)
    codes = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero_point), dtype=torch.int8, shape=x.shape)
    return torch.onnx.ops.symbolic("DequantizeLinear", (codes, scale, zero_point), dtype=torch.float32, shape=x.shape)
