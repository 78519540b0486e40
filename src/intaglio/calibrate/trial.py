"""A trial: the outputs of candidate Plans on held-back samples, against the float network's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from intaglio.calibrate.feeds import Feed
from intaglio.calibrate.noise_by_sample import NoiseBySample
from intaglio.calibrate.observer import Observer
from intaglio.calibrate.params import Named
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.simulate import Simulator

Pair = tuple[Named, Named]  # calibrators of activations and weights; None: the Plan's own
Correction = Callable[[Graph, Plan], tuple[Graph, Plan]]  # of a calibrated network's biases
_SQUASHING = ("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "ArgMax", "ArgMin")


@dataclass(frozen=True)
class Candidate:
    """A choice of calibrators and what it does to the outputs.

    Args:
        calibrator, weight_calibrator: names.
        sqnr: signal to quantization noise of the outputs, in dB; at most 200.
        samples: on how many held-back samples it was measured.
        chosen: whether it is the one that was taken.
        gain: dB more than with the default calibrator, on the same samples; 0 of the default.
        uncertainty: of the gain, in dB, as far as these samples tell.
    """

    calibrator: str
    weight_calibrator: str
    sqnr: float
    samples: int
    chosen: bool = False
    gain: float = 0.0
    uncertainty: float = 0.0

    def __str__(self) -> str:
        weights = f" (weights {self.weight_calibrator})"
        return f"{self.calibrator}{weights}: {self.sqnr:.2f} dB on {self.samples} samples"


class Trial:
    """Held-back samples with the float network's outputs on them.

    Args:
        graph: the float network.
        observer: takes note of the samples.
        held: the samples.
        correct: what is done to each candidate's biases before it is measured.
    """

    def __init__(
        self, graph: Graph, observer: Observer, held: list[tuple[int, Feed]], correct: Correction | None = None
    ) -> None:
        self.graph, self.held, self.device, self.correct = graph, held, observer.simulator.device, correct
        self.samples = sum(size for size, _ in held)
        self.watched = watched_values(graph)
        self.reference: list[dict[str, Tensor]] = []
        before, observer.statistics = observer.statistics, observer.statistics.empty_copy()
        first = before.samples
        for size, feed in held:
            seen: dict[str, Tensor] = {}
            observer.step(feed, first, size, lambda name, x, seen=seen: self._keep(name, x, seen))  # type: ignore[misc]
            self.reference.append(seen)
            first += size
        observer.statistics, self.statistics = before, observer.statistics

    def _keep(self, name: str, x: Tensor, into: dict[str, Tensor]) -> None:
        if name in self.watched:
            into[name] = x.clone()

    def measure(self, plans: Mapping[Pair, Plan], samples: int) -> dict[Pair, NoiseBySample]:
        """Simulate Plans on the first samples; equal Plans only once."""
        known: list[tuple[Plan, NoiseBySample]] = []
        result: dict[Pair, NoiseBySample] = {}
        for pair, plan in progress(plans.items(), len(plans), "try calibrators"):
            found = next((value for other, value in known if same_params(plan, other)), None)
            if found is None:
                found = self._noise(plan, samples)
                known.append((plan, found))
            result[pair] = found
        return result

    def _noise(self, plan: Plan, samples: int) -> NoiseBySample:
        graph = self.graph
        if self.correct is not None:
            graph, plan = self.correct(graph, plan)
        simulator = Simulator(graph, plan, self.device)
        result = NoiseBySample(self.watched)
        done = 0
        for (size, feed), reference in zip(self.held, self.reference, strict=True):
            if done >= samples:
                break
            done += size
            got: dict[str, Tensor] = {}
            with torch.no_grad():
                simulator(feed, lambda name, x, got=got: self._keep(name, x, got))  # type: ignore[misc]
            result.add(size, reference, got)
        return result


def label(calibrator: Named) -> str:
    """How the history calls it."""
    return "the target's own" if calibrator is None else calibrator if isinstance(calibrator, str) else calibrator.name


def watched_values(graph: Graph) -> list[str]:
    """The outputs, or what goes into the squashing function that gives one."""
    names = []
    for value in graph.outputs:
        node = value.producer()
        squashed = node is not None and node.op_type in _SQUASHING and node.inputs[0] is not None
        names.append(str(node.inputs[0].name if squashed else value.name))  # type: ignore[union-attr]
    return list(dict.fromkeys(names))


def same_params(a: Plan, b: Plan) -> bool:
    """Whether two Plans of one Graph have equal parameters everywhere."""
    return all(b.values[name].params == value.params for name, value in a.values.items())
