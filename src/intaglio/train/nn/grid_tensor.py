"""Tensors that carry the quantizer that rounded them.

A layer that multiplies needs its input's scale to round its bias. So results of quantized layers carry their quantizer,
also through PyTorch functions that only move data. Other PyTorch functions return plain tensors, which quantized layers
refuse, because they would have no format in the integer program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intaglio.errors import UsageError
from intaglio.train.quantizers.quantizer import Quantizer

MOVES = frozenset(
    {
        "__getitem__",
        "__get__",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "alpha_dropout",
        "amax",
        "broadcast_to",
        "channel_shuffle",
        "chunk",
        "clone",
        "contiguous",
        "detach",
        "diagonal",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "expand",
        "feature_dropout",
        "flatten",
        "flip",
        "identity",
        "max_pool1d",
        "max_pool2d",
        "movedim",
        "narrow",
        "pad",
        "permute",
        "pixel_shuffle",
        "pixel_unshuffle",
        "relu",
        "reshape",
        "roll",
        "select",
        "split",
        "squeeze",
        "swapaxes",
        "t",
        "tile",
        "to",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
        "view",
    }
)
"""PyTorch functions whose results consist of input elements and zeros (dropout: in evaluation)."""

Sums = tuple[Quantizer, Quantizer]
"""Quantizers of data and weight of a sum of products."""


class OnGrid(Tensor):
    """Real numbers rounded by a quantizer.

    Attributes:
        quantizer: the quantizer; None for accumulator sums, which a clamp or sign layer has to follow.
        sums: quantizers of data and weight of such sums, if channels lie on axis 1.
    """

    quantizer: Quantizer | None
    sums: Sums | None

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Keep the quantizer through functions that only move data; return plain tensors from all others."""
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
        source = args[0] if args else None
        if isinstance(source, OnGrid) and func.__name__ in MOVES and getattr(source, "quantizer", None) is not None:
            return _spread(result, source.quantizer)
        return result


def _spread(result: Any, quantizer: Quantizer | None) -> Any:
    if isinstance(result, Tensor) and result.is_floating_point():
        return on_grid(result, quantizer)
    if isinstance(result, (tuple, list)):
        return type(result)(_spread(part, quantizer) for part in result)
    return result


def on_grid(x: Tensor, quantizer: Quantizer | None, sums: Sums | None = None) -> Tensor:
    """Attach to a tensor the quantizer that rounded it, or those of the operands of its sums.

    Compiled code cannot carry attributes: there layers use the quantizers of an earlier call (see `layer.given`).
    """
    if torch.compiler.is_dynamo_compiling():
        return x
    made = x.as_subclass(OnGrid)
    made.quantizer, made.sums = quantizer, sums
    return made


def plain(x: Tensor) -> Tensor:
    """Return the numbers as an ordinary tensor."""
    return x.as_subclass(Tensor) if isinstance(x, OnGrid) else x


def read(x: Tensor, layer: nn.Module) -> tuple[Tensor, Quantizer]:
    """Return the numbers of a value and the quantizer that rounded them.

    Args:
        x: argument of a layer.
        layer: the layer, for the error message.
    Raises:
        UsageError: x has no format.
    """
    if not isinstance(x, OnGrid):
        raise UsageError(
            f"[{type(layer).__name__}] expected a value with a format, got a plain tensor of shape {tuple(x.shape)}; "
            "let the network begin with intaglio.train.nn.Input, and compute with layers of intaglio.train.nn "
            "(Add, Mul, Concat, ...): results of PyTorch's own functions have no format"
        )
    if x.quantizer is None:
        raise UsageError(
            f"[{type(layer).__name__}] expected a value with a format, got the sums of a layer without an output "
            "format; only Sign, or a clamp (ReLU, ReLU6, Hardtanh) with an output format, may follow it"
        )
    return plain(x), x.quantizer
