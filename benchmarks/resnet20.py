"""ResNet-20 for CIFAR-10 in PyTorch; a factory makes its layers, so that layers of other tools can be used.

Source: He et al. 2015, arXiv:1512.03385, section 4.2, shortcuts of option A (strided, new channels zero).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Layers:
    """Factory of float layers; subclasses make layers of other tools."""

    def conv(self, inputs: int, outputs: int, stride: int, *, first: bool = False) -> nn.Module:
        """Make a 3 x 3 convolution without bias."""
        return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """Make the classifier."""
        return nn.Linear(inputs, outputs)

    def relu(self, *, operand: bool) -> nn.Module:
        """Make an activation; with `operand`, only a convolution reads it."""
        return nn.ReLU()

    def operand(self) -> nn.Module:
        """Make a layer before a convolution whose data have other readers too."""
        return nn.Identity()

    def input(self) -> nn.Module:
        """Make the layer before the network."""
        return nn.Identity()


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, layers: Layers, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.operand = layers.operand()
        self.conv1, self.bn1 = layers.conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.relu1 = layers.relu(operand=True)
        self.conv2, self.bn2 = layers.conv(outputs, outputs, 1), nn.BatchNorm2d(outputs)
        self.relu2 = layers.relu(operand=False)
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(self.operand(x))))))
        if self.new or self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return self.relu2(y + x)  # type: ignore[no-any-return]


class ResNet20(nn.Module):
    """(n, 3, 32, 32) to (n, 10)."""

    def __init__(self, layers: Layers | None = None) -> None:
        super().__init__()
        layers = layers or Layers()
        self.input = layers.input()
        self.conv1, self.bn1 = layers.conv(3, 16, 1, first=True), nn.BatchNorm2d(16)
        self.relu = layers.relu(operand=False)
        self.layer1 = nn.Sequential(*(Block(layers, 16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(layers, 16, 32, 2), *(Block(layers, 32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(layers, 32, 64, 2), *(Block(layers, 64, 64, 1) for _ in range(2)))
        self.linear = layers.linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the class scores."""
        x = self.relu(self.bn1(self.conv1(self.input(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))  # type: ignore[no-any-return]
