"""Modules that people write every day: each loads and becomes integers; its native program follows the module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import intaglio as ig

TOKENS, LENGTH, WIDTH, HEADS = 20, 6, 16, 2
PICTURE, SEQUENCE, FEATURES = (3, 8, 8), (LENGTH, WIDTH), (WIDTH,)


class Written(nn.Module):
    """A module whose `forward` is a function of it and its inputs."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def projections() -> dict[str, nn.Module]:
    return {"qkv": nn.Linear(WIDTH, 3 * WIDTH), "out": nn.Linear(WIDTH, WIDTH)}


def heads(self: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, t, c = x.shape
    q, k, v = self.qkv(x).reshape(n, t, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def causal(self: Any, x: Tensor) -> Tensor:
    q, k, v = heads(self, x)
    later = torch.tril(torch.ones(LENGTH, LENGTH)) == 0
    shares = (q @ k.transpose(-2, -1) * (WIDTH // HEADS) ** -0.5).masked_fill(later, float("-inf")).softmax(-1)
    return self.out((shares @ v).transpose(1, 2).reshape(x.shape))


def attention(is_causal: bool) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = functional.scaled_dot_product_attention(*heads(self, x), is_causal=is_causal)
        return self.out(y.transpose(1, 2).reshape(x.shape))

    return forward


def recurrent(self: Any, x: Tensor) -> Tensor:
    return self.head(self.layer(x)[0])


def with_head(layer: nn.Module) -> nn.Module:
    return Written(recurrent, layer=layer, head=nn.Linear(WIDTH, 5))


def lstm_cells(self: Any, x: Tensor) -> Tensor:
    state = None
    found = []
    for step in x.unbind(1):
        state = self.cell(step, state)
        found.append(state[0])
    return self.head(torch.stack(found, 1))


def cells(self: Any, x: Tensor) -> Tensor:
    state = None
    for step in range(x.shape[1]):
        state = self.cell(x[:, step], state)
    return self.head(state)


def unrolled_gru(self: Any, x: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], WIDTH)
    for step in x.unbind(1):
        z, r = (torch.sigmoid(part) for part in (self.gates(step) + self.old_gates(h)).chunk(2, -1))
        h = (1 - z) * h + z * torch.tanh(self.new(step) + self.old(r * h))
    return self.head(h)


def two_normals(**parts: nn.Module) -> dict[str, nn.Module]:
    return {"a": nn.Linear(WIDTH, WIDTH), "b": nn.Linear(WIDTH, WIDTH), **parts}


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "GroupNorm": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 8, 3)),
        PICTURE,
    ),
    "InstanceNorm": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), nn.Conv2d(8, 8, 3)),
        PICTURE,
    ),
    "LSTM": (lambda: with_head(nn.LSTM(WIDTH, WIDTH, batch_first=True)), SEQUENCE),
    "GRU": (lambda: with_head(nn.GRU(WIDTH, WIDTH, batch_first=True)), SEQUENCE),
    "RNN": (lambda: with_head(nn.RNN(WIDTH, WIDTH, batch_first=True)), SEQUENCE),
    "Embedding": (lambda: nn.Sequential(nn.Embedding(TOKENS, 8), nn.Flatten(), nn.Linear(LENGTH * 8, 5)), (LENGTH,)),
    "causal attention": (lambda: Written(causal, **projections()), SEQUENCE),
    "scaled_dot_product_attention": (lambda: Written(attention(False), **projections()), SEQUENCE),
    "scaled_dot_product_attention(is_causal=True)": (lambda: Written(attention(True), **projections()), SEQUENCE),
    "einsum": (
        lambda: Written(lambda self, x: torch.einsum("bij,bkj->bik", self.a(x), self.b(x)), **two_normals()),
        SEQUENCE,
    ),
    "Conv3d": (
        lambda: nn.Sequential(nn.Conv3d(2, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 4, 2)),
        (2, 6, 6, 6),
    ),
    "F.normalize": (
        lambda: Written(lambda self, x: self.b(functional.normalize(self.a(x), dim=-1)), **two_normals()),
        FEATURES,
    ),
    "layer_norm over channels": (
        lambda: Written(
            lambda self, x: self.point(self.norm(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
            conv=nn.Conv2d(3, 8, 3),
            norm=nn.LayerNorm(8),
            point=nn.Conv2d(8, 4, 1),
        ),
        PICTURE,
    ),
    "masked_fill": (
        lambda: Written(
            lambda self, x: self.b(self.a(x).masked_fill(torch.arange(WIDTH) % 3 == 0, 0.0)), **two_normals()
        ),
        FEATURES,
    ),
    "masked_fill by a computed mask": (
        lambda: Written(lambda self, x: self.b(self.a(x).masked_fill(x > 0.5, 0.0)), **two_normals()),
        FEATURES,
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True), SEQUENCE),
    "LSTMCell": (lambda: Written(lambda self, x: self.cell(x)[0], cell=nn.LSTMCell(WIDTH, WIDTH)), FEATURES),
    "LSTMCell in a loop": (
        lambda: Written(lstm_cells, cell=nn.LSTMCell(WIDTH, WIDTH), head=nn.Linear(WIDTH, 5)),
        SEQUENCE,
    ),
    "GRUCell in a loop": (
        lambda: Written(cells, cell=nn.GRUCell(WIDTH, WIDTH), head=nn.Linear(WIDTH, 5)),
        SEQUENCE,
    ),
    "RNNCell in a loop": (
        lambda: Written(cells, cell=nn.RNNCell(WIDTH, WIDTH), head=nn.Linear(WIDTH, 5)),
        SEQUENCE,
    ),
    "a cell written by hand": (
        lambda: Written(
            unrolled_gru,
            gates=nn.Linear(WIDTH, 2 * WIDTH),
            old_gates=nn.Linear(WIDTH, 2 * WIDTH),
            new=nn.Linear(WIDTH, WIDTH),
            old=nn.Linear(WIDTH, WIDTH),
            head=nn.Linear(WIDTH, 5),
        ),
        SEQUENCE,
    ),
}
LEAST = {"cpu-int8": 28.0, "int16x8": 38.0}
"""dB. 16-bit activations still have 8-bit weights."""


def samples(name: str, sizes: tuple[int, ...], count: int, rng: np.random.Generator) -> Any:
    if name == "Embedding":
        return rng.integers(0, TOKENS, (count, *sizes))
    return rng.standard_normal((count, *sizes)).astype(np.float32)


@pytest.mark.parametrize("name", MODULES)
def test_the_native_program_follows_the_module(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, sizes = MODULES[name]
    module, rng = make().eval(), np.random.default_rng(0)
    data, x = samples(name, sizes, 256, rng), samples(name, sizes, 16, rng)  # ranges that hold for x too
    graph = ig.load(module, torch.from_numpy(data[:1]))
    with torch.no_grad():
        want = module(torch.from_numpy(x)).numpy()
    for target, least in LEAST.items():
        program = ig.quantize(graph, data, target=target).lower()
        got = program.run(x)
        np.testing.assert_array_equal(ig.compile(program, "portable", tmp_path / target).run(x), got)
        assert got.shape == want.shape
        found = 10 * np.log10(np.square(want).sum() / np.square(got - want).sum())
        assert found > least, (target, found)
