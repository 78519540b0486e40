"""Tensors that know the grid on which their numbers lie.

A layer that multiplies needs to know its data's scale: its bias lies on the grid of the products. So what a quantized
layer returns carries its quantizer with it, through torch's own functions that only move numbers. What these compute
anew is a plain tensor, which no quantized layer takes: in the integer program it would have no format.
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
"""Names of torch's functions whose results are numbers of their input, or 0 (dropout: in evaluation)."""

Sums = tuple[Quantizer, Quantizer]
"""Quantizers of the data and the weight of a sum of products."""


class OnGrid(Tensor):
    """Real numbers on the grid of a quantizer.

    Attributes:
        quantizer: whose grid it is; None while the numbers are sums in an accumulator, which a clamp or sign follows.
        sums: the quantizers of data and weight of such sums, where these have one step per channel.
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
        """Results of moves keep the grid; of everything else they are plain tensors."""
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
    """A tensor with the quantizer that rounded it, or those of the operands that it is a sum of.

    Compiled code carries nothing along: there layers know what they read from an earlier call (see `layer.given`).
    """
    if torch.compiler.is_dynamo_compiling():
        return x
    made = x.as_subclass(OnGrid)
    made.quantizer, made.sums = quantizer, sums
    return made


def plain(x: Tensor) -> Tensor:
    """The same numbers as an ordinary tensor."""
    return x.as_subclass(Tensor) if isinstance(x, OnGrid) else x


def read(x: Tensor, layer: nn.Module) -> tuple[Tensor, Quantizer]:
    """The numbers of a value and the quantizer that rounded them.

    Args:
        x: what a layer was called with.
        layer: who reads it, for the error.
    Raises:
        UsageError: a value without a format.
    """
    if not isinstance(x, OnGrid):
        raise UsageError(
            f"[{type(layer).__name__}] expected a value with a format, got a plain tensor of shape {tuple(x.shape)}; "
            "let the network begin with intaglio.train.nn.Input, and compute with the layers of intaglio.train.nn "
            "(Add, Mul, Concat, ...): what torch's own functions compute has no format"
        )
    if x.quantizer is None:
        raise UsageError(
            f"[{type(layer).__name__}] expected a value with a format, got the sums of a layer without an output "
            "format; only Sign, or a clamp (ReLU, ReLU6, Hardtanh) with an output format, may follow it"
        )
    return plain(x), x.quantizer
