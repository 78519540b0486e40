"""What stops a training: numbers that are none, and scales that have collapsed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from intaglio.errors import TrainingError
from intaglio.train.module import QuantizedModule
from intaglio.train.quantizers.learned import Learned


def first_not_finite(module: QuantizedModule, inputs: tuple[Tensor, ...]) -> str:
    """Where the first number that is none comes from, in words.

    Args:
        module: as it was when the loss became none.
        inputs: of that step.
    """
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"parameter '{name}' (an update of the step before made it so)"
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
        return "the loss alone; every value of the network is finite"
    nodes = {str(v.name): node for node in module.graph.nodes for v in node.outputs}
    node = nodes.get(found[0])
    return f"value '{found[0]}'" + ("" if node is None else f" of [{node.op_type} '{node.name}']")


def check_loss(loss: float, step: int, module: QuantizedModule, inputs: tuple[Tensor, ...], kept: object) -> None:
    """Refuse to go on with a loss that is no number.

    Args:
        loss: of the step.
        step: its number.
        module, inputs: to find the first layer.
        kept: a sentence on what is left.
    Raises:
        TrainingError: it is none.
    """
    if math.isfinite(loss):
        return
    raise TrainingError(
        f"step {step}: expected a finite loss, got {loss}; not finite first: {first_not_finite(module, inputs)}. "
        f"{kept} Try a smaller --lr, a longer --warmup, or float32"
    )


def check_scales(module: QuantizedModule, step: int, kept: object) -> None:
    """Refuse to go on with a scale that is no number or has collapsed to zero.

    One that changed its sign in a step goes on with its size (see `quantizers.learned`).

    Raises:
        TrainingError: one has; the value is named.
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
        return "is no number: expected a positive one"
    return "collapsed to zero: expected about what training began with"
