"""Compare two stages layer by layer: signal-to-quantization-noise ratio and largest difference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset
from intaglio.errors import DataError
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.evaluation.stage import Stage, inputs_of

Array = NDArray[Any]
HELD = 1 << 28
"""Bytes of the first stage's values that are held at a time, as long as one sample has no more."""


@dataclass(frozen=True)
class LayerDifference:
    """The difference of one value between two stages.

    Args:
        name: of the Graph value.
        sqnr: in dB (see `evaluation.sqnr`); inf where they are equal, -inf where the second is not finite.
        largest: largest |a - b|.
        steps: the same in quantization steps, None where the step is not known.
        equal: percent of elements that are equal.
    """

    name: str
    sqnr: float
    largest: float
    steps: float | None
    equal: float

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data; an infinite ratio is null."""
        return {**self.__dict__, "sqnr": self.sqnr if math.isfinite(self.sqnr) else None}


def compare(
    a: Stage, b: Stage, data: Dataset, steps: Mapping[str, float], *, samples: int = 32, batch: int = 8
) -> list[LayerDifference]:
    """Compare two stages on every value that both have.

    Args:
        a: the reference.
        b: the other.
        data: inputs; labels are not needed.
        steps: size of a quantization step by value name, where known.
        samples: how many samples to compare on.
        batch: at most so many samples at a time; fewer where their values would fill the memory (`HELD`).
    Returns:
        One entry per common value, in the order in which `b` computes them.
    Raises:
        DataError: no samples, or values of one name that differ in shape.
    """
    sums: dict[str, SignalToNoise] = {}
    largest: dict[str, float] = {}
    equal: dict[str, tuple[int, int]] = {}
    for name, want, got in _pairs(a, b, data.limit(samples), batch):
        difference = want.astype(np.float64) - got
        sums.setdefault(name, SignalToNoise([name])).add({name: want}, {name: got}, 1)
        largest[name] = max(largest.get(name, 0.0), float(np.abs(difference).max(initial=0)))
        same, of = equal.get(name, (0, 0))
        equal[name] = (same + int((difference == 0).sum()), of + difference.size)
    if not sums:
        raise DataError(f"{data.name}: expected samples and values of the same names in both stages, got none")
    return [
        LayerDifference(
            name,
            ratio.by_value[name],
            largest[name],
            largest[name] / steps[name] if name in steps else None,
            100.0 * equal[name][0] / max(equal[name][1], 1),
        )
        for name, ratio in sums.items()
    ]


def _pairs(a: Stage, b: Stage, data: Dataset, batch: int) -> Iterator[tuple[str, Array, Array]]:
    """Compute the values that two stages have in common, of as many samples at a time as `HELD` allows."""
    at_once = 1
    for x, _ in data.batches(batch):
        given, start = inputs_of(x), 0
        while start < len(given[0]):
            part = tuple(array[start : start + at_once] for array in given)
            start += len(part[0])
            reference = _traced(a, part)
            size = sum(value.nbytes for values in reference.values() for value in values)
            at_once = max(1, HELD * len(part[0]) // max(size, 1))
            other = _traced(b, part)
            for name in [name for name in other if name in reference]:
                values, others = reference.pop(name), other.pop(name)
                shapes = [tuple(value.shape for value in side) for side in (values, others)]
                if shapes[0] != shapes[1]:
                    raise DataError(
                        f"value {name!r}: expected shape {shapes[0][0]} in both, got {shapes[1][0]}; they are "
                        "different networks"
                    )
                want, got = (np.concatenate([value.ravel() for value in side]) for side in (values, others))
                yield name, want, got


def _traced(stage: Stage, x: tuple[Array, ...]) -> dict[str, list[Array]]:
    """Collect every value of a batch by name, in the parts in which it was computed."""
    found: dict[str, list[Array]] = {}
    stage.trace(lambda name, value: found.setdefault(name, []).append(value), *x)
    return found
