"""Learning-rate schedule and seeds as functions of the step, so that no state has to be saved."""

from __future__ import annotations

import math

import numpy as np

ORDER, CROP, FLIP, GLOBAL = range(4)
"""Independent streams of random numbers."""


def annealed(step: int, total: int, largest: float, *, final: float, warmup: float) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to `final * largest`.

        lr = largest * (final + (1 - final) * (1 + cos(pi * t)) / 2),  t from 0 after the warm-up to 1 at the last step

    Args:
        step: number of the step, from 0.
        total: number of steps.
        largest: peak learning rate.
        final: final learning rate as a fraction of the peak.
        warmup: fraction of the steps for the warm-up.
    Source: Loshchilov & Hutter 2016, arXiv:1608.03983, eq. (5), without restarts.
    """
    rise = round(warmup * total)
    if step < rise:
        return largest * (step + 1) / (rise + 1)
    t = (step - rise) / max(total - 1 - rise, 1)
    return largest * (final + (1 - final) * (1 + math.cos(math.pi * t)) / 2)


def seed_of(seed: int, stream: int, *numbers: int) -> int:
    """Return the seed at one place of a stream of random numbers."""
    return int(np.random.SeedSequence((seed, stream, *numbers)).generate_state(1, np.uint64)[0] >> 1)
