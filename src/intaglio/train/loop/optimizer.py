"""Create the optimizer with parameter groups for weights, biases and quantizers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from intaglio.train.loop.settings import TrainSettings
from intaglio.train.module import QuantizedModule

FACTOR = "factor"
"""Key of a parameter group: multiplier of its learning rate."""


def make_optimizer(
    module: QuantizedModule, settings: TrainSettings, sizes: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Create SGD with Nesterov momentum, or AdamW.

    Weight decay applies to weights, not to biases, batch norms and quantizer parameters. Quantizer parameters have
    their own learning rate.

    Args:
        module: the network.
        settings: training settings.
        sizes: step-size factors by parameter name (see `lr_scaling.magnitudes`).
    """
    power = 1 if settings.optimizer == "adamw" else 2
    quantizers = {id(p) for p in module.quantizers.parameters()}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in quantizers:
            rate, decay = settings.quantizer_lr, 0.0
        else:
            rate = (sizes or {}).get(name, 1.0) ** power
            # Divide by the factor, so that a step decays the same fraction of a weight whatever its factor.
            decay = settings.weight_decay / rate if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    listed = [{"params": some, "weight_decay": decay, FACTOR: rate} for (rate, decay), some in groups.items()]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(listed, lr=0.0)
    return torch.optim.SGD(listed, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[FACTOR]
