"""ResNet-8 for pictures of 32 x 32 pixels, the network of MLPerf Tiny's image classification.

Source: Banbury et al. 2021, arXiv:2106.07597; residual blocks of He et al. 2015, arXiv:1512.03385.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """y = relu(f(x) + shortcut(x)), f two 3 x 3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride)
        self.second = _conv(outputs, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class ResNet8(nn.Module):
    """(n, 3, 32, 32) to the scores (n, 10)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = _conv(3, 16, 3)
        self.blocks = nn.Sequential(BasicBlock(16, 16, 1), BasicBlock(16, 32, 2), BasicBlock(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the classes."""
        y: Tensor = self.head(self.blocks(F.relu(self.stem(x))).mean((2, 3)))
        return y
