"""Random numbers that a run of the same seed draws again, and that a checkpoint continues."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WORD = (1 << 64) - 1


class Draws(nn.Module):
    """Draws that depend on a seed and on how many there were before; both are in the `state_dict`.

    Processes with the same seed draw the same: what all of them hold, the weights, is then rounded alike in all.

    Args:
        seed: of this stream.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed, self.drawn = seed, 0

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def uniform(self, like: Tensor, *more: int) -> Tensor:
        """Uniform numbers in [0, 1), float32, of a tensor's shape with further axes behind, on its device."""
        generator = torch.Generator(like.device).manual_seed(_mixed(self.seed, self.drawn))
        self.drawn += 1
        return torch.rand((*like.shape, *more), generator=generator, device=like.device)

    def get_extra_state(self) -> Tensor:
        """Seed and count, as `state_dict` keeps them."""
        return torch.tensor([self.seed, self.drawn])

    def set_extra_state(self, state: Tensor) -> None:
        """Go on where a `state_dict` was written."""
        self.seed, self.drawn = map(int, state.tolist())


def _mixed(seed: int, count: int) -> int:
    """A seed whose every bit depends on both (generators on the CPU use the low 32 alone): the finalizer of SplitMix64.

    Source: Steele et al. 2014, "Fast splittable pseudorandom number generators", figure 14.
    """
    z = (seed * 0x9E3779B97F4A7C15 + count * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return (z ^ (z >> 31)) >> 1
