"""Held-back samples on which an algorithm's effect is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.trial import watched_values
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.samples import nth_sample
from intaglio.simulate import Simulator


class Samples(Protocol):
    """Inputs of the network, as often as they are wanted."""

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """Small batches by input name; one sample at a time where the Graph is not batched."""


class ArraySamples:
    """Samples held in memory.

    Args:
        arrays: one per input of the network, N samples each (see `intaglio.samples`).
        batch: samples at a time.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], batch: int = 8) -> None:
        self.arrays, self.batch = tuple(arrays), batch

    def __len__(self) -> int:
        return len(self.arrays[0])

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """See `Samples.feeds`."""
        named = dict(zip(simulator.input_names, self.arrays, strict=True))
        for start in range(0, len(self), self.batch if simulator.batched else 1):
            some = {
                name: x[start : start + self.batch]
                if simulator.batched
                else nth_sample(x, start, simulator.input_shapes[name])
                for name, x in named.items()
            }
            yield {name: torch.as_tensor(x, dtype=torch.float32, device=simulator.device) for name, x in some.items()}


class Trial:
    """The float network's outputs on held-back samples; of a last softmax its input, which hides nothing."""

    def __init__(self, graph: Graph, held_back: Samples) -> None:
        self.held_back = held_back
        self.watched = set(watched_values(graph))
        simulator = Simulator(graph)
        self.reference = list(self._outputs(simulator))
        self.samples = sum(map(simulator.samples_in, held_back.feeds(simulator)))

    def sqnr(self, graph: Graph, plan: Plan) -> float:
        """`10 log10(sum (y - mean y)**2 / sum (y - y_quantized)**2)` over all watched outputs, in dB."""
        signal = noise = 0.0
        for want, got in zip(self.reference, self._outputs(Simulator(graph, plan)), strict=True):
            for name, y in want.items():
                signal += float((y - y.mean(0, keepdim=True)).double().square().sum()) or float(
                    y.double().square().sum()
                )
                noise += float((y - got[name]).double().square().sum())
        if not math.isfinite(noise):
            return -math.inf
        return math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise)

    def _outputs(self, simulator: Simulator) -> Iterator[dict[str, Tensor]]:
        for feed in self.held_back.feeds(simulator):
            seen: dict[str, Tensor] = {}

            def keep(name: str, x: Tensor, seen: dict[str, Tensor] = seen) -> None:
                if name in self.watched:
                    seen[name] = torch.atleast_1d(x).clone()

            with torch.no_grad():
                simulator(feed, keep)
            yield seen
