"""Measure candidate calibrators on held-back samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from intaglio.calibrate.parameters.choose_params import Named
from intaglio.calibrate.statistics.observer import Observer
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.evaluation.trial import Trial, watched_values
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.simulate import Simulator
from intaglio.simulate.tensor_batches import Feed

Pair = tuple[Named, Named]  # calibrators of activations and weights; None: the Plan's own
Correction = Callable[[Graph, Plan], tuple[Graph, Plan]]  # of a calibrated network's biases


@dataclass(frozen=True)
class Candidate:
    """A pair of calibrators, and the quality of the outputs with them.

    Args:
        calibrator, weight_calibrator: names.
        sqnr: signal to quantization noise of the outputs, in dB; at most 200.
        samples: number of held-back samples that it was measured on.
        chosen: whether `auto` chose it.
        gain: dB more than with the default calibrator, on the same samples; 0 of the default.
        uncertainty: of the gain, in dB (see `SignalToNoise.gain_over`).
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


class CalibratorTrial(Trial):
    """Simulates candidate Plans on held-back samples.

    The pass through the float network that gives the reference outputs also collects the statistics of these samples.

    Args:
        graph: the float network.
        observer: runs the float network; its own statistics stay as they are.
        held: the samples, as (number of samples, inputs by name).
        correct: applied to each candidate's biases before it is measured.
    """

    def __init__(
        self, graph: Graph, observer: Observer, held: Sequence[tuple[int, Feed]], correct: Correction | None = None
    ) -> None:
        self.graph, self.correct = graph, correct
        watched, reference = watched_values(graph), []
        before, observer.statistics = observer.statistics, observer.statistics.empty_copy()
        first = before.samples
        for size, feed in held:
            seen: dict[str, Tensor] = {}

            def keep(name: str, x: Tensor, seen: dict[str, Tensor] = seen) -> None:
                if name in watched:
                    seen[name] = x.clone()

            observer.step(feed, first, size, keep)
            reference.append(seen)
            first += size
        observer.statistics, self.statistics = before, observer.statistics
        super().__init__(graph, _Held([feed for _, feed in held]), reference, observer.simulator.device)

    def of_plans(self, plans: Mapping[Pair, Plan], samples: int) -> dict[Pair, SignalToNoise]:
        """Measure Plans on the first samples, equal Plans only once.

        Args:
            plans: by calibrators.
            samples: number of held-back samples to run at least.
        """
        known: list[tuple[Plan, SignalToNoise]] = []
        result: dict[Pair, SignalToNoise] = {}
        for pair, plan in progress(plans.items(), len(plans), "try calibrators"):
            found = next((value for other, value in known if same_params(plan, other)), None)
            if found is None:
                candidate = (self.graph, plan) if self.correct is None else self.correct(self.graph, plan)
                found = self.measure(Simulator(*candidate, self.device), samples)
                known.append((plan, found))
            result[pair] = found
        return result


@dataclass(frozen=True)
class _Held:
    """Held-back samples as tensors on the simulator's device (see `evaluation.held_back.Samples`)."""

    kept: list[Feed]

    def feeds(self, simulator: Simulator) -> Iterator[Feed]:
        return iter(self.kept)


def label(calibrator: Named) -> str:
    """Name a calibrator as the history does."""
    return "the target's own" if calibrator is None else calibrator if isinstance(calibrator, str) else calibrator.name


def same_params(a: Plan, b: Plan) -> bool:
    """Tell whether two Plans of one Graph have equal parameters for every value."""
    return all(b.values[name].params == value.params for name, value in a.values.items())
