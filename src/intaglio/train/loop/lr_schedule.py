"""What changes over the steps of a training, as functions of the step alone: nothing of it needs to be kept."""

from __future__ import annotations

import math

import numpy as np

ORDER, CROP, FLIP, GLOBAL = range(4)
"""Streams of random numbers that do not touch each other."""


def annealed(step: int, total: int, largest: float, *, final: float, warmup: float) -> float:
    """The learning rate of a step: a linear rise, then half a cosine down to `final * largest`.

        lr = largest * (final + (1 - final) * (1 + cos(pi * t)) / 2),  t from 0 behind the rise to 1 at the last step

    Args:
        step: from 0.
        total: how many there are.
        largest: learning rate behind the rise.
        final: where it ends, as a part of the largest.
        warmup: part of the steps of the rise.
    Source: Loshchilov & Hutter 2016, arXiv:1608.03983, eq. (5), without restarts.
    """
    rise = round(warmup * total)
    if step < rise:
        return largest * (step + 1) / (rise + 1)
    t = (step - rise) / max(total - 1 - rise, 1)
    return largest * (final + (1 - final) * (1 + math.cos(math.pi * t)) / 2)


def seed_of(seed: int, stream: int, *numbers: int) -> int:
    """A seed for one stream of random numbers, at one place of it."""
    return int(np.random.SeedSequence((seed, stream, *numbers)).generate_state(1, np.uint64)[0] >> 1)
