"""Optimizers with the parameter groups that a quantized network wants."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from intaglio.train.loop.settings import TrainSettings
from intaglio.train.module import QuantizedModule

FACTOR = "factor"
"""Key of a group: its learning rate is that of the step times this."""


def make_optimizer(
    module: QuantizedModule, settings: TrainSettings, sizes: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW.

    Weights decay; biases, batch norms and the quantizers' own parameters, which may learn at another rate, do not.

    Args:
        module: what learns.
        settings: of the training.
        sizes: of parameters' steps, by name (see `sizes.magnitudes`).
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
            # What a step takes off a weight is the same part of it, however large the data are.
            decay = settings.weight_decay / rate if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    listed = [{"params": some, "weight_decay": decay, FACTOR: rate} for (rate, decay), some in groups.items()]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(listed, lr=0.0)
    return torch.optim.SGD(listed, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[FACTOR]
