"""Small network for handwritten digits; training takes seconds.

It has what larger networks for images are made of: batch norm everywhere, a depthwise-separable block, a residual add
and a global average pool.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from intaglio.zoo.digit_images import digits_data


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


def train_digits(epochs: int = 20, seed: int = 0) -> tuple[nn.Module, float]:
    """Train the network: Adam, learning rate falling along a cosine.

    Runs on one thread, so that the same seed gives the same weights whatever the number of cores.

    Returns:
        The module in evaluation mode, and its accuracy on the test part in percent.
    """
    data = digits_data()
    x, y = (torch.from_numpy(part) for part in data.train)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = DigitsNet()
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
            for _ in range(epochs):
                for rows in torch.randperm(len(y)).split(64):
                    optimizer.zero_grad()
                    loss = F.cross_entropy(model(x[rows]), y[rows])
                    loss.backward()
                    optimizer.step()
                schedule.step()
        model.eval()
        with torch.no_grad():
            predicted = model(torch.from_numpy(data.test[0])).argmax(1).numpy()
    finally:
        torch.set_num_threads(threads)
    return model, 100 * float(np.mean(predicted == data.test[1]))
