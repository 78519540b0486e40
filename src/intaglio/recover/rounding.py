"""Learned rounding of one layer: each weight goes down or up, whichever makes the layer's output best.

    W~ = s * clamp(floor(W / s) + h(V), qmin - z, qmax - z)
    h(V) = clamp(sigmoid(V) * (zeta - gamma) + gamma, 0, 1),                            zeta = 1.1, gamma = -0.1
    minimise  || f(y) - f(x W~ + b) ||**2 / e  +  lambda * mean(1 - |2 h(V) - 1|**beta)

f is the activation behind the layer, y what the float network computes, x what the quantized network feeds the layer; e
is the error that rounding to nearest adds to x W, so that lambda means the same for every layer. V starts where
W~ = clamp(W); beta falls from 20 to 2 along a cosine, after a first part without the second term. In the end h(V) is 0
or 1 almost everywhere, and is rounded.

Source: Nagel et al. 2020, arXiv:2004.10568, equations (21) to (25) (normalisation by e: ours).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from intaglio.errors import UsageError

ZETA, GAMMA = 1.1, -0.1


@dataclass(frozen=True)
class Settings:
    """How rounding is learned.

    Args:
        iterations: steps of Adam per layer.
        batch: output positions per step.
        rate: of Adam.
        weight: lambda, what undecided weights cost.
        warm: share of the steps without that cost.
        beta: its exponent, first and last.
        seed: of positions and batches.
    Raises:
        UsageError: no iterations, or no positions in a batch.
    """

    iterations: int = 1000
    batch: int = 512
    rate: float = 3e-2
    weight: float = 10.0
    warm: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise UsageError(
                f"AdaRound: expected at least 1 iteration and 1 position a batch, got {self.iterations} "
                f"and {self.batch}"
            )


@dataclass(frozen=True)
class Problem:
    """One layer as a matrix product (see `columns`).

    Args:
        x: inputs, (G, P, K).
        y: the wanted outputs, before the activation, (G, P, O).
        bias: (G, 1, O).
        steps: real weights in steps of their scale, W / s, (G, K, O).
        scale, low, high: of each weight; the codes minus zero point lie in low..high; (G, K, O).
        clamp: the activation's bounds, each (1, 1, 1) or (G, 1, O); None for none.
    """

    x: Tensor
    y: Tensor
    bias: Tensor
    steps: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor
    clamp: tuple[Tensor, Tensor] | None = None

    def nearest(self) -> Tensor:
        """Codes minus zero point by rounding to nearest, ties to even, (G, K, O)."""
        return self.limit(self.steps.round())

    def limit(self, steps: Tensor) -> Tensor:
        """Saturate steps to the codes that there are."""
        return steps.clamp(self.low, self.high)

    def error(self, steps: Tensor, index: Tensor | None = None) -> Tensor:
        """Squared output error, summed over channels, mean over positions (those of `index`); () tensor."""
        x, y = (self.x, self.y) if index is None else (self.x.index_select(1, index), self.y.index_select(1, index))
        got = torch.baddbmm(self.bias, x, steps * self.scale)
        if self.clamp is not None:
            got, y = got.clamp(*self.clamp), y.clamp(*self.clamp)
        return (got - y).square().sum() / x.shape[1]

    def centred(self, steps: Tensor) -> Problem:
        """The same with the bias that makes the mean of each channel, before the activation, what is wanted."""
        got = torch.baddbmm(self.bias, self.x, steps * self.scale)
        return replace(self, bias=self.bias + (self.y - got).mean(dim=1, keepdim=True))


def rectified_sigmoid(v: Tensor) -> Tensor:
    """h(V), between 0 and 1, both reached; any shape."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def inverse(h: Tensor) -> Tensor:
    """The V with h(V) = h, for h between 0 and 1."""
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def undecided(h: Tensor, beta: float) -> Tensor:
    """`1 - |2 h - 1|**beta`: 0 where h is 0 or 1, 1 in the middle."""
    return 1 - (2 * h - 1).abs().pow(beta)


class Annealing(Protocol):
    """What `annealed` needs of settings."""

    @property
    def iterations(self) -> int: ...
    @property
    def warm(self) -> float: ...
    @property
    def beta(self) -> tuple[float, float]: ...


def annealed(step: int, settings: Annealing) -> float | None:
    """beta at a step; None in the first part, which has no cost for undecided weights."""
    warm = settings.warm * settings.iterations
    if step < warm:
        return None
    done = (step - warm) / max(settings.iterations - warm, 1)
    first, last = settings.beta
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


class Undecided:
    """The rounding of a tensor of weights while it is learned.

    Args:
        steps, low, high: see `Problem`; any shapes that broadcast.
    """

    def __init__(self, steps: Tensor, low: Tensor, high: Tensor) -> None:
        self.floor, self.low, self.high = steps.floor(), low, high
        self.v = inverse(steps - self.floor).requires_grad_()

    def soft(self) -> tuple[Tensor, Tensor]:
        """Steps between the codes, and h(V)."""
        h = rectified_sigmoid(self.v)
        return (self.floor + h).clamp(self.low, self.high), h

    def decided(self) -> Tensor:
        """Whole steps: codes minus zero point."""
        with torch.no_grad():
            return (self.floor + (rectified_sigmoid(self.v) >= 0.5)).clamp(self.low, self.high)


def learn(problem: Problem, settings: Settings, generator: torch.Generator) -> Tensor:
    """Learn the rounding of one layer.

    Args:
        problem: the layer.
        settings: see `Settings`.
        generator: on the CPU, of the batches.
    Returns:
        Codes minus zero point, (G, K, O), whole numbers; those of rounding to nearest where learning found nothing
        better on all positions of the problem.
    """
    nearest = problem.nearest()
    added = torch.bmm(problem.x, (nearest - problem.limit(problem.steps)) * problem.scale)
    unit = float(added.square().sum()) / problem.x.shape[1]
    if not (unit > 0 and math.isfinite(unit)):
        return nearest
    rounding = Undecided(problem.steps, problem.low, problem.high)
    adam = torch.optim.Adam([rounding.v], lr=settings.rate)
    count = problem.x.shape[1]
    batch = min(settings.batch, count)
    for step in range(settings.iterations):
        index = torch.randint(count, (batch,), generator=generator).to(rounding.v.device)
        steps, h = rounding.soft()
        loss = problem.error(steps, index) / unit
        beta = annealed(step, settings)
        if beta is not None:
            loss = loss + settings.weight * undecided(h, beta).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    learned = rounding.decided()
    with torch.no_grad():
        return learned if problem.error(learned) < problem.error(nearest) else nearest
