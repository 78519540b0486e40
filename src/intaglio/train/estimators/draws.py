"""Reproducible random numbers whose state is in the `state_dict`, so that a checkpoint continues the stream."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self


_WORD = (1 << 64) - 1


class Draws(nn.Module):
    """Random numbers that depend only on a seed and a counter; both are in the `state_dict`.

    Processes with the same seed draw the same numbers, so that all of them round the weights in the same way.

    Args:
        seed: seed of this stream.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep `uniform` out of what torch.compile compiles; not by a decorator, as its import takes a second."""
        _keep_uncompiled()
        return super().__new__(cls)

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed, self.drawn = seed, 0

    def uniform(self, like: Tensor, *more: int) -> Tensor:
        """Draw uniform numbers in [0, 1): float32, shape `(*like.shape, *more)`, on the tensor's device."""
        generator = torch.Generator(like.device).manual_seed(_mixed(self.seed, self.drawn))
        self.drawn += 1
        return torch.rand((*like.shape, *more), generator=generator, device=like.device)

    def get_extra_state(self) -> Tensor:
        """Return seed and counter for the `state_dict`."""
        return torch.tensor([self.seed, self.drawn])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore seed and counter from a `state_dict`."""
        self.seed, self.drawn = map(int, state.tolist())


@cache
def _keep_uncompiled() -> None:
    Draws.uniform = torch.compiler.disable(Draws.uniform)  # type: ignore[method-assign]


def _mixed(seed: int, count: int) -> int:
    """Mix seed and counter so that every bit depends on both (CPU generators use only 32 bits): SplitMix64's finalizer.

    Source: Steele et al. 2014, "Fast splittable pseudorandom number generators", figure 14.
    """
    z = (seed * 0x9E3779B97F4A7C15 + count * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return (z ^ (z >> 31)) >> 1
