"""Small networks, each with something that a plain chain of convolutions has not."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Preactivated(nn.Module):
    """Batch norms that no product can take: in front of an activation, behind a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.before, self.behind = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.conv(F.relu(self.before(x)))
        return self.fc(F.relu(self.behind(x)).mean((2, 3)))


class NoBias(nn.Module):
    """Products without biases, and without batch norms that would bring one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, bias=False), nn.Linear(8 * 36, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv(x)).flatten(1))


class Slopes(nn.Module):
    """PReLU: slopes per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.prelu, self.fc = nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Linear(6, 4)
        with torch.no_grad():
            self.prelu.weight.copy_(torch.linspace(0.1, 0.4, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.prelu(self.conv(x)).mean((2, 3)))


class Attention(nn.Module):
    """Heads of attention, which the exporter writes with a batch axis that is not the first; layer norms."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


class Enlarged(nn.Module):
    """A value that is interpolated on its own grid: ties there go another way than in the value itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        large = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return F.pixel_shuffle(self.conv(x), 2) + large


class Encoder(nn.Module):
    """A transposed convolution, a skip over it, and one output per pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.up, self.out = nn.ConvTranspose2d(8, 4, 2, 2), nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat([self.up(self.down(x)), x], 1))


class Sequence(nn.Module):
    """Convolutions over one axis, with a batch norm and a dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.wide = nn.Conv1d(4, 8, 5, padding=2), nn.BatchNorm1d(8), nn.Conv1d(8, 8, 3, dilation=2)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.wide(F.relu(self.bn(self.conv(x))))).mean(2))


class Twice(nn.Module):
    """One layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for _ in range(2):
            x = F.relu(self.bn(self.conv(x)))
        return self.fc(x.mean((2, 3)))


IMAGE = (3, 8, 8)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "preactivated": (Preactivated, IMAGE),
    "no bias": (NoBias, IMAGE),
    "slopes": (Slopes, IMAGE),
    "attention": (Attention, (6, 8)),
    "enlarged": (Enlarged, IMAGE),
    "encoder": (Encoder, IMAGE),
    "sequence": (Sequence, (4, 16)),
    "twice": (Twice, IMAGE),
}
"""Makers, and the shape of a sample."""
