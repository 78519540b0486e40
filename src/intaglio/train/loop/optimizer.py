"""Optimizers with the parameter groups that a quantized network wants."""

from __future__ import annotations

import torch
from torch import nn

from intaglio.train.loop.settings import TrainSettings
from intaglio.train.module import QuantizedModule

FACTOR = "factor"
"""Key of a group: its learning rate is that of the step times this."""


def make_optimizer(module: QuantizedModule, settings: TrainSettings) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW.

    Three groups: weights, which decay; biases and batch norms, which do not; and the quantizers' own parameters, which
    do not either and may learn at another rate.
    """
    quantizers = {id(p) for p in module.quantizers.parameters()}
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in module.parameters():
        if id(parameter) not in quantizers and parameter.requires_grad:
            (decaying if parameter.ndim > 1 else others).append(parameter)
    learned = [p for p in module.quantizers.parameters() if p.requires_grad]
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay, FACTOR: 1.0},
        {"params": others, "weight_decay": 0.0, FACTOR: 1.0},
        {"params": learned, "weight_decay": 0.0, FACTOR: settings.quantizer_lr},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, nesterov=settings.momentum > 0)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[FACTOR]
