"""What a network of the gallery is: a name, a function that builds it, and inputs that look like real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import interpolate

MakeInput = Callable[[Generator, int], Tensor]
"""Makes a number of samples, (samples, ...), from a random generator."""


@dataclass(frozen=True)
class Network:
    """One row of the gallery.

    Args:
        name: unique among all networks.
        field: what networks of this kind are for; the page groups by it.
        build: makes the module. Weights need no care: `initialize.settle` sets them.
        inputs: one function for each argument of `forward`.
        package: the package that ships the architecture; "torch" if it is written here.
    """

    name: str
    field: str
    build: Callable[[], nn.Module]
    inputs: Sequence[MakeInput]
    package: str = "torch"

    def samples(self, count: int, seed: int) -> tuple[Tensor, ...]:
        """Make inputs, each (count, ...)."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(make(generator, count) for make in self.inputs)


class Wrapped(nn.Module):
    """A module whose result is picked or rearranged: exporters want tensors.

    Args:
        module: the network.
        call: maps the module and the inputs to a tensor or a tuple of tensors.
    """

    def __init__(self, module: nn.Module, call: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call the function."""
        return self.call(self.module, *x)


def image(size: int | tuple[int, int] = 64, channels: int = 3) -> MakeInput:
    """Make smooth images of various contrast and brightness, with noise: as natural ones after standardization."""
    height, width = (size, size) if isinstance(size, int) else size

    def make(generator: Generator, count: int) -> Tensor:
        coarse = torch.randn(count, channels, 5, 5, generator=generator)
        smooth = interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
        contrast = 0.5 + torch.rand(count, 1, 1, 1, generator=generator)
        offset = 0.5 * torch.randn(count, channels, 1, 1, generator=generator)
        return contrast * smooth + offset + 0.2 * torch.randn(count, channels, height, width, generator=generator)

    return make


def clip(frames: int = 8, size: int = 32, channels: int = 3) -> MakeInput:
    """Make videos, (count, channels, frames, size, size): an image that moves to the right, with noise."""

    def make(generator: Generator, count: int) -> Tensor:
        wide = image((size, size + frames), channels)(generator, count)
        moved = torch.stack([wide[..., frame : frame + size] for frame in range(frames)], dim=2)
        return moved + 0.1 * torch.randn(moved.shape, generator=generator)

    return make


def wave(length: int, channels: int = 1) -> MakeInput:
    """Make sums of three sines with noise, (count, channels, length)."""

    def make(generator: Generator, count: int) -> Tensor:
        time = torch.arange(length)
        frequency = 0.01 + 0.6 * torch.rand(count, channels, 3, 1, generator=generator)
        strength = torch.rand(count, channels, 3, 1, generator=generator)
        tones = (strength * torch.sin(frequency * time)).sum(2)
        return tones + 0.1 * torch.randn(count, channels, length, generator=generator)

    return make


def numbers(*shape: int) -> MakeInput:
    """Make independent normal numbers, (count, *shape)."""
    return lambda generator, count: torch.randn(count, *shape, generator=generator)


def sequence(length: int, features: int) -> MakeInput:
    """Make features that change slowly over time, (count, length, features)."""
    make_waves = wave(length, features)
    return lambda generator, count: 1.5 * make_waves(generator, count).transpose(1, 2).contiguous()


def tokens(length: int, vocabulary: int) -> MakeInput:
    """Make token ids, int64, (count, length)."""
    return lambda generator, count: torch.randint(0, vocabulary, (count, length), generator=generator)


def mask(length: int) -> MakeInput:
    """Make attention masks, int64, (count, length): ones, then zeros from a random place on."""

    def make(generator: Generator, count: int) -> Tensor:
        lengths = torch.randint(length // 2, length + 1, (count, 1), generator=generator)
        return (torch.arange(length) < lengths).long()

    return make


def adjacency(nodes: int) -> MakeInput:
    """Make normalized adjacency matrices of random graphs, (count, nodes, nodes)."""

    def make(generator: Generator, count: int) -> Tensor:
        links = torch.rand(count, nodes, nodes, generator=generator) < 0.3
        links = (links | links.transpose(1, 2) | torch.eye(nodes, dtype=torch.bool)).float()
        scale = links.sum(2).rsqrt()
        return scale[:, :, None] * links * scale[:, None, :]

    return make
