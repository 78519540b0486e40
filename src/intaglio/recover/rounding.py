"""Learn the rounding of one layer (AdaRound): each weight is rounded down or up to minimise the output error.

    W~ = s * clamp(floor(W / s) + h(V), qmin - z, qmax - z)
    h(V) = clamp(sigmoid(V) * (zeta - gamma) + gamma, 0, 1),                            zeta = 1.1, gamma = -0.1
    minimise  || f(y) - f(x W~ + b) ||**2 / e  +  lambda * mean(1 - |2 h(V) - 1|**beta)

f is the activation after the layer, y the layer's output in the float network, x its input in the quantized network,
and e the error of x W with weights rounded to nearest, which makes lambda comparable between layers. V starts where W~
= clamp(W). beta falls from 20 to 2 along a cosine, after a first part without the second term. At the end h(V) is 0 or
1 almost everywhere, and is rounded.

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
    """Settings of AdaRound.

    Args:
        iterations: Adam steps per layer.
        batch: output positions per step.
        rate: learning rate of Adam.
        weight: lambda, weight of the rounding regularizer.
        warm: fraction of the steps without the regularizer.
        beta: first and last exponent of the regularizer.
        seed: seed of positions and batches.
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
    """One layer as a matrix product (see `im2col`).

    Args:
        x: inputs, (G, P, K).
        y: wanted outputs before the activation, (G, P, O).
        bias: (G, 1, O).
        steps: real weights divided by their scale, W / s, (G, K, O).
        scale, low, high: scale of each weight, and bounds of its code minus zero point; (G, K, O).
        clamp: bounds of the activation, each (1, 1, 1) or (G, 1, O); None without activation.
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
        """Return codes minus zero point, rounded to nearest, ties to even, (G, K, O)."""
        return self.limit(self.steps.round())

    def limit(self, steps: Tensor) -> Tensor:
        """Saturate steps to the range of the codes."""
        return steps.clamp(self.low, self.high)

    def error(self, steps: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the squared output error, summed over channels, mean over positions (those of `index`); () tensor."""
        x, y = (self.x, self.y) if index is None else (self.x.index_select(1, index), self.y.index_select(1, index))
        got = torch.baddbmm(self.bias, x, steps * self.scale)
        if self.clamp is not None:
            got, y = got.clamp(*self.clamp), y.clamp(*self.clamp)
        return (got - y).square().sum() / x.shape[1]

    def centred(self, steps: Tensor) -> Problem:
        """Return the problem with the bias that makes each channel's mean before the activation equal that of y."""
        got = torch.baddbmm(self.bias, self.x, steps * self.scale)
        return replace(self, bias=self.bias + (self.y - got).mean(dim=1, keepdim=True))


def rectified_sigmoid(v: Tensor) -> Tensor:
    """Return h(V), in [0, 1]; any shape."""
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def inverse(h: Tensor) -> Tensor:
    """Return V with h(V) = h, for h in [0, 1]."""
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def undecided(h: Tensor, beta: float) -> Tensor:
    """Return the regularizer `1 - |2 h - 1|**beta`: 0 if h is 0 or 1, 1 at h = 1/2."""
    return 1 - (2 * h - 1).abs().pow(beta)


class Annealing(Protocol):
    """Settings that `annealed` reads."""

    @property
    def iterations(self) -> int: ...
    @property
    def warm(self) -> float: ...
    @property
    def beta(self) -> tuple[float, float]: ...


def annealed(step: int, settings: Annealing) -> float | None:
    """Return beta at a step; None in the first part, which has no regularizer."""
    warm = settings.warm * settings.iterations
    if step < warm:
        return None
    done = (step - warm) / max(settings.iterations - warm, 1)
    first, last = settings.beta
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


class Undecided:
    """Rounding of a weight tensor while it is learned: the variable V.

    Args:
        steps, low, high: see `Problem`; any shapes that broadcast.
    """

    def __init__(self, steps: Tensor, low: Tensor, high: Tensor) -> None:
        self.floor, self.low, self.high = steps.floor(), low, high
        self.v = inverse(steps - self.floor).requires_grad_()

    def soft(self) -> tuple[Tensor, Tensor]:
        """Return soft steps floor(W / s) + h(V), and h(V)."""
        h = rectified_sigmoid(self.v)
        return (self.floor + h).clamp(self.low, self.high), h

    def decided(self) -> Tensor:
        """Return integer steps: codes minus zero point."""
        with torch.no_grad():
            return (self.floor + (rectified_sigmoid(self.v) >= 0.5)).clamp(self.low, self.high)


def learn(problem: Problem, settings: Settings, generator: torch.Generator) -> Tensor:
    """Learn the rounding of one layer.

    Args:
        problem: the layer.
        settings: see `Settings`.
        generator: CPU generator for the batches.
    Returns:
        Codes minus zero point, (G, K, O); rounded to nearest if learning did not reduce the error over all positions.
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
