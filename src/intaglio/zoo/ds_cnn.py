"""DS-CNN for spoken words, the network of MLPerf Tiny's keyword spotting.

Source: Zhang et al. 2017, arXiv:1711.07128.
"""

from __future__ import annotations

from torch import Tensor, nn

CHANNELS, BLOCKS = 64, 4


def _conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class DsCnn(nn.Module):
    """(n, 1, 49, 10) to the scores (n, 10)."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        first = nn.Conv2d(1, CHANNELS, (10, 4), 2, (5, 1), bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(CHANNELS), nn.ReLU())
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(_conv(CHANNELS, CHANNELS, 3, CHANNELS), _conv(CHANNELS, CHANNELS, 1))
                for _ in range(BLOCKS)
            )
        )
        self.head = nn.Linear(CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the words."""
        y: Tensor = self.head(self.blocks(self.stem(x)).mean((2, 3)))
        return y
