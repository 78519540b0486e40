"""Measure quantized candidates against the float network's outputs on held-back samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.graph import Graph
from intaglio.graph.operators import facts
from intaglio.plan import Plan
from intaglio.simulate import Simulator


def watched_values(graph: Graph) -> list[str]:
    """List the outputs; instead of a softmax or sigmoid its input, as these hide errors where they saturate."""
    names = []
    for value in graph.outputs:
        node = value.producer()
        squashed = node is not None and facts(node.op_type).squashes and node.inputs[0] is not None
        names.append(str(node.inputs[0].name if squashed else value.name))  # type: ignore[union-attr]
    return list(dict.fromkeys(names))


class Trial:
    """Holds the float network's outputs on held-back samples and measures candidates against them.

    Args:
        graph: the float network.
        held_back: the samples.
        reference: its watched values for each batch of samples, if they are known already.
        device: where candidates run.
    """

    def __init__(
        self,
        graph: Graph,
        held_back: Samples,
        reference: Sequence[Mapping[str, Tensor]] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.held_back, self.device = held_back, device
        self.watched = watched_values(graph)
        simulator = Simulator(graph, None, device)
        self.reference = list(self._outputs(simulator)) if reference is None else list(reference)
        self.samples = sum(map(simulator.samples_in, held_back.feeds(simulator)))

    def measure(self, simulator: Simulator, samples: int | None = None) -> SignalToNoise:
        """Measure the SQNR of a candidate's outputs.

        Args:
            simulator: runs a network with values of the same names.
            samples: run batches until this many samples were seen; None: all.
        """
        found = SignalToNoise(self.watched)
        feeds = self.held_back.feeds(simulator)
        for want, feed in zip(self.reference, feeds, strict=True):
            if samples is not None and found.samples >= samples:
                break
            found.add(want, self._watched(simulator, feed), simulator.samples_in(feed))
        return found

    def sqnr(self, graph: Graph, plan: Plan | None) -> float:
        """Measure a candidate's SQNR in dB, mean over outputs, on all samples; without a Plan it is a float network."""
        return self.measure(Simulator(graph, plan, self.device)).sqnr

    def _outputs(self, simulator: Simulator) -> Iterator[dict[str, Tensor]]:
        for feed in self.held_back.feeds(simulator):
            yield self._watched(simulator, feed)

    def _watched(self, simulator: Simulator, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def keep(name: str, x: Tensor) -> None:
            if name in self.watched:
                seen[name] = x.clone()

        with torch.no_grad():
            simulator(feed, keep)
        return seen
