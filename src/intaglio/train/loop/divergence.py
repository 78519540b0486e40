"""Divergence checks: NaN or infinite values, and collapsed scales."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from intaglio.errors import TrainingError
from intaglio.train.module import QuantizedModule
from intaglio.train.quantizers.learned import Learned


def first_not_finite(module: QuantizedModule, inputs: tuple[Tensor, ...]) -> str:
    """Describe where the first NaN or infinity comes from.

    Args:
        module: the module at the step whose loss is not finite.
        inputs: inputs of that step.
    """
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"parameter '{name}' (changed by the previous update)"
    for name, x in zip((str(v.name) for v in module.graph.inputs), inputs, strict=True):
        if not bool(torch.isfinite(x).all()):
            return f"input '{name}'"
    found: list[str] = []

    def observe(name: str, x: Tensor) -> None:
        if not found and x.is_floating_point() and not bool(torch.isfinite(x).all()):
            found.append(name)

    before, module.observe = module.observe, observe
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        module.observe = before
    if not found:
        return "the loss only; every value of the network is finite"
    nodes = {str(v.name): node for node in module.graph.nodes for v in node.outputs}
    node = nodes.get(found[0])
    return f"value '{found[0]}'" + ("" if node is None else f" of [{node.op_type} '{node.name}']")


def check_loss(loss: float, step: int, module: QuantizedModule, inputs: tuple[Tensor, ...], kept: object) -> None:
    """Stop the training if the loss is NaN or infinite.

    Args:
        loss: loss of the step.
        step: number of the step.
        module, inputs: module and inputs of the step, to find the first NaN.
        kept: sentence about the last checkpoint, for the message.
    Raises:
        TrainingError: the loss is not finite.
    """
    if math.isfinite(loss):
        return
    raise TrainingError(
        f"step {step}: expected a finite loss, got {loss}; first NaN or infinity: {first_not_finite(module, inputs)}. "
        f"{kept} Try a smaller --lr, a longer --warmup, or float32"
    )


def check_scales(module: QuantizedModule, step: int, kept: object) -> None:
    """Stop the training if a scale is NaN or infinite, or has collapsed to zero.

    A scale that changed its sign is used with its absolute value (see `quantizers.learned`).

    Raises:
        TrainingError: a scale has collapsed; the message names its value.
    """
    names = module.check_scales()
    if not names:
        return
    quantizer = module.quantizer(names[0])
    value = quantizer.learned.detach() if isinstance(quantizer, Learned) else quantizer.scale_now()
    others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    raise TrainingError(
        f"step {step}: the scale of '{names[0]}'{others} {_trouble(value)}, got {float(value.min()):.3g}. "
        f"{kept} Try a smaller --lr or --quantizer-lr, or a calibrated start"
    )


def _trouble(value: Tensor) -> str:
    if not bool(torch.isfinite(value).all()):
        return "is NaN or infinite: expected a positive number"
    return "collapsed to zero: expected a number near its initial value"
