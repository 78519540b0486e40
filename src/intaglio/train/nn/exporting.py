"""The forward pass as it is exported: real numbers, with a mark wherever a quantizer rounds a value.

A mark is a pair of QuantizeLinear and DequantizeLinear, which nothing is moved across and nothing folded over. Its
scale is no scale but says which quantizer it stands for: 1 + its place in the list.
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
    """Within it quantized layers write marks; the list fills with the quantizers that these stand for."""
    marked: list[Quantizer] = []
    token = _MARKED.set(marked)
    try:
        yield marked
    finally:
        _MARKED.reset(token)


def is_exporting() -> bool:
    """Whether forward passes write marks."""
    return not torch.compiler.is_dynamo_compiling() and _MARKED.get() is not None


def mark(x: Tensor, quantizer: Quantizer) -> Tensor:
    """The same numbers, marked as those that a quantizer rounds."""
    marked = _MARKED.get()
    assert marked is not None
    index = next((k for k, other in enumerate(marked) if other is quantizer), len(marked))
    if index == len(marked):
        marked.append(quantizer)
    x = x.float()
    scale, zero_point = torch.tensor(float(1 + index)), torch.tensor(0, dtype=torch.int8)
    codes = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero_point), dtype=torch.int8, shape=x.shape)
    return torch.onnx.ops.symbolic("DequantizeLinear", (codes, scale, zero_point), dtype=torch.float32, shape=x.shape)
