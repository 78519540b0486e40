"""MobileNetV2, untrained: the network on which costs are measured.

Source: Sandler et al. 2018, arXiv:1801.04381, table 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# expansion, output channels, repetitions, stride of the first
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU6()] if relu else []))


class InvertedResidual(nn.Module):
    """Expand, depthwise 3 x 3, project; added to the input where the shapes are equal."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [_conv(inputs, hidden, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand, _conv(hidden, hidden, 3, stride=stride, groups=hidden), _conv(hidden, outputs, 1, relu=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """(n, 3, 224, 224) to scores (n, classes).

    Args:
        classes: outputs.
        seed: of the random weights; batch-norm statistics are random too, so that folding them has something to do.
    """

    def __init__(self, classes: int = 1000, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[nn.Module] = [_conv(3, 32, 3, stride=2)]
            channels = 32
            for expansion, outputs, repetitions, stride in STAGES:
                for i in range(repetitions):
                    layers.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, expansion))
                    channels = outputs
            layers.append(_conv(channels, 1280, 1))
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Linear(1280, classes)
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    state = module.state_dict()
                    nn.init.uniform_(state["weight"], 0.8, 1.2)
                    nn.init.uniform_(state["bias"], -0.1, 0.1)
                    nn.init.uniform_(state["running_mean"], -0.1, 0.1)
                    nn.init.uniform_(state["running_var"], 0.5, 1.5)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes."""
        y: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return y
