"""Networks quantized from the start, on real images: the 8 x 8 digits of scikit-learn."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import intaglio as ig
from intaglio.train import nn

EPOCHS, BATCH, TRAINED = 8, 50, 1400


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1,797 images (N, 1, 8, 8) in [0, 1] and their labels, in a fixed random order."""
    found = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn (extra `dev`)").load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    return torch.tensor(found.images, dtype=torch.float32)[order, None] / 16, torch.tensor(found.target)[order]


def network(weight: str, value: str) -> torch.nn.Module:
    """Three convolutions; the first and the dense layer keep 8 bits in their weights."""
    return torch.nn.Sequential(
        nn.Input("uint8"),
        nn.ConvBn2d(1, 16, 3, padding=1, activation="relu", output=value),
        nn.ConvBn2d(16, 32, 3, weight=weight, activation="relu", output=value),
        nn.ConvBn2d(32, 32, 3, weight=weight, activation="relu", output="uint8"),
        torch.nn.Flatten(),
        nn.Linear(512, 10, output="int16"),
    )


def network_of_signs() -> torch.nn.Module:
    """The same with one bit between the layers, and in the weights between the ends."""
    return torch.nn.Sequential(
        nn.Input("uint8"),
        nn.ConvBn2d(1, 16, 3, padding=1, output=None),
        nn.Sign(),
        nn.ConvBn2d(16, 32, 3, weight="binary", output=None),
        nn.Sign(),
        nn.ConvBn2d(32, 32, 3, weight="binary", output=None),
        nn.Sign(),
        torch.nn.Flatten(),
        nn.Linear(512, 10, output="int16"),
    )


@pytest.mark.parametrize(
    ("weight", "value", "least"),
    [
        pytest.param("w8", "a8", 97, id="w8a8"),
        pytest.param("w4", "a4", 97, id="w4a4", marks=pytest.mark.slow),
        pytest.param("w2", "a2", 96, id="w2a2"),
        pytest.param("ternary", "a8", 96, id="ternary", marks=pytest.mark.slow),
        pytest.param("binary", "a8", 95, id="binary", marks=pytest.mark.slow),
        pytest.param("", "", 92, id="signs"),
    ],
)
def test_the_integer_program_recognizes_digits(weight: str, value: str, least: float) -> None:
    torch.manual_seed(1)
    x, y = digits()
    net = network(weight, value) if weight else network_of_signs()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    annealed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * TRAINED // BATCH)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(TRAINED).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
            annealed.step()
    frozen = ig.freeze(net.eval(), x[:1])
    held_back, labels = x[TRAINED:].numpy(), y[TRAINED:].numpy()
    integer = frozen.lower().run(held_back).argmax(1)
    simulated = frozen.simulate(held_back).argmax(1)
    accuracy = 100 * (integer == labels).mean()
    print(f"integer program: {accuracy:.2f} % of {len(labels)} images")
    assert accuracy >= least
    assert (integer == simulated).mean() >= 0.995
