"""Small networks of quantized layers, how they are trained, and how what they freeze to is compared with them."""

from __future__ import annotations

import numpy as np
import torch

import intaglio as ig
from intaglio.train import nn


class Residual(torch.nn.Module):
    """A residual block whose convolutions have formats `weight` and `value`, between 8-bit ends."""

    def __init__(self, weight: str = "w8", value: str = "a8", method: str = "lsq") -> None:
        super().__init__()
        self.input = nn.Input("uint8", method=method)
        self.stem = nn.ConvBn2d(3, 6, 3, padding=1, activation="relu", output=value, method=method)
        self.conv = nn.ConvBn2d(6, 6, 3, padding=1, weight=weight, output="int8", method=method)
        self.add = nn.Add(value, activation="relu", method=method)
        self.pool = nn.GlobalAvgPool(output="uint8", method=method)
        self.fc = nn.Linear(6, 4, output="int16", method=method)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(self.input(x))
        return self.fc(self.pool(self.add(self.conv(x), x)))


def batch(n: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Four classes that a linear function of the channel means tells apart."""
    generator = torch.Generator().manual_seed(4)
    y = torch.randint(0, 4, (n,), generator=generator)
    x = torch.randn((n, 3, 8, 8), generator=generator)
    x[torch.arange(n), y.clamp(max=2)] += 1.5
    return x, y


def train(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, lr: float = 0.003) -> list[float]:
    """The losses of some steps of Adam; scores are what the network returns, or the first thing it does."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        scores = net.train()(x)
        loss = torch.nn.functional.cross_entropy(scores[0] if isinstance(scores, tuple) else scores, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def assert_freezes_to_itself(net: torch.nn.Module, *x: torch.Tensor, tables: bool = False) -> None:
    """The network in evaluation, its frozen simulation and the integer program give the same numbers.

    In float32 a tie may go the other way: one value in a hundred may differ, by one step of the output.

    Args:
        net: it has been trained.
        x: what it is called with.
        tables: the integer program interpolates tables of 16 bits, whose last bit may differ; where that changes a code
            of 8 bits, what is computed from it moves by a step of that: 2 % of the largest value are allowed, in one
            value of ten.
    """
    net.eval()
    frozen = ig.freeze(net, tuple(a[:1] for a in x))
    with torch.no_grad():
        found = net(*x)
    given = tuple(a.numpy() for a in x)
    want, simulated, integer = (
        [np.asarray(y) for y in (ys if isinstance(ys, tuple) else (ys,))]
        for ys in (found, frozen.simulate(*given), frozen.lower().run(*given))
    )
    for value, a, b, c in zip(frozen.graph.outputs, want, simulated, integer, strict=True):
        params = frozen.plan.params(str(value.name))
        assert params is not None
        step = float(params.scale)
        assert len(np.unique(a)) > 1, "a constant agrees with everything"
        _assert_near(a, b, step, 1.01 * step, 100)
        if tables:
            _assert_near(a, c, step, max(2.01 * step, 0.02 * np.abs(a).max()), 10)
        else:
            _assert_near(a, c, step, 1.01 * step, 100)


def _assert_near(a: np.ndarray, b: np.ndarray, step: float, most: float, one_in: int) -> None:
    differ = np.abs(a - b) > step / 2
    text = f"{np.count_nonzero(differ)} of {a.size} differ, by up to {np.abs(a - b).max() / step:.1f} steps"
    assert np.abs(a - b).max() <= most, text
    assert np.count_nonzero(differ) <= max(1, a.size // one_in), text
