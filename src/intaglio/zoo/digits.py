"""Small network for handwritten digits.

It has what larger networks for images are made of: batch norm everywhere, a depthwise-separable block, a residual add
and a global average pool.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ConvBn(nn.Sequential):
    """Create a convolution without bias, batch norm, and optionally ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), *([nn.ReLU()] if relu else []))


class Residual(nn.Module):
    """y = relu(x + f(x)), f two 3 x 3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBn(channels, channels, 3)
        self.second = ConvBn(channels, channels, 3, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same."""
        return F.relu(x + self.second(self.first(x)))


class DigitsNet(nn.Module):
    """(n, 1, 8, 8) to the scores (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBn(1, 16, 3)
        self.depthwise = ConvBn(16, 16, 3, stride=2, groups=16)
        self.pointwise = ConvBn(16, 32, 1)
        self.residual = Residual(32)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the ten digits."""
        x = self.residual(self.pointwise(self.depthwise(self.stem(x))))
        scores: Tensor = self.head(self.pool(x).flatten(1))
        return scores
