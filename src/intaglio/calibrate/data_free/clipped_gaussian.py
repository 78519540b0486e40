"""Clipped normal distributions: what is assumed of every element of a value when there are no data.

    y = clamp(z, low, high),   z ~ N(mean, std)            a = (low - mean) / std,   b = (high - mean) / std

    E[y] - mean          = std * ( a F(a) + f(a) - f(b) + b (1 - F(b)) )
    E[(y - mean)**2]     = std**2 * ( a**2 F(a) + b**2 (1 - F(b)) + F(b) - F(a) + a f(a) - b f(b) )

f and F are the density and the distribution function of N(0, 1). Clipping again only narrows the interval, so
Relu, ReLU6 and any chain of clamps are exact.

Source: Nagel et al. 2019, arXiv:1906.04721, appendix C ("clipped normal distribution").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_FAR = 40.0  # standard deviations beyond which a bound changes no float64


@dataclass(frozen=True)
class ClippedGaussian:
    """A clipped normal distribution for each element of a value.

    Args:
        mean, std: before clipping; float64, the value's shape.
        low, high: the bounds; float64, they broadcast to that shape; infinite where there are none.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def uncut(cls, mean: Tensor, std: Tensor) -> ClippedGaussian:
        """Make one without bounds."""
        edge = mean.new_tensor(math.inf)
        return cls(mean, std, -edge, edge)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Compute mean and standard deviation after clipping, both in the value's shape."""
        std = self.std.clamp_min(1e-300)
        a = ((self.low - self.mean) / std).clamp(-_FAR, _FAR)
        b = ((self.high - self.mean) / std).clamp(-_FAR, _FAR)
        below, above = torch.special.ndtr(a), torch.special.ndtr(-b)
        fa, fb = _density(a), _density(b)
        shift = a * below + fa - fb + b * above
        square = a.square() * below + b.square() * above + (1 - above - below) + a * fa - b * fb
        spread = (square - shift.square()).clamp_min(0).sqrt()
        certain = self.std <= 0
        mean = torch.where(certain, self.mean, self.mean + std * shift)
        mean = torch.minimum(torch.maximum(mean, self.low), self.high)  # also where the mean is many std beyond a bound
        return mean, torch.where(certain, 0.0, self.std * spread)

    def interval(self, sigmas: float) -> tuple[Tensor, Tensor]:
        """Compute `mean - sigmas * std` and `mean + sigmas * std` of each element, within its bounds."""
        ends = (self.mean - sigmas * self.std, self.mean + sigmas * self.std)
        low, high = (torch.minimum(torch.maximum(end, self.low), self.high) for end in ends)
        return low, high

    def below(self, x: Tensor) -> Tensor:
        """Compute the probability of a number below x, which broadcasts; a number on a bound is not below the bound."""
        p = torch.special.ndtr((x - self.mean) / self.std.clamp_min(1e-300))
        return torch.where(x <= self.low, 0.0, torch.where(x > self.high, 1.0, p))


def _density(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
