"""Try a variant of a network quickly: place, calibrate, correct biases, measure."""

from __future__ import annotations

from collections.abc import Callable

from intaglio.calibrate import calibrate, parse_calibrator
from intaglio.calibrate.parameters.choose_params import Named
from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.bias_correction import correct_biases
from intaglio.simulate.tensor_batches import Batches
from intaglio.targets.target import AUTO

QUICK_CALIBRATOR = "percentile-99.99"
LEAST_GAIN = 0.5
"""Least gain in dB of a changed network: less may be chance."""
LEAST_GAIN_CAPS = 1.0
"""The same with caps per channel, each of which is one more operator in the Program."""


class QuickTrial:
    """Compares variants of a network that compute the same function by their output SQNR.

    Args:
        graph: the float network, whose outputs are the reference.
        plan_for: places a network.
        dataset: all calibration data; read once for each variant.
        samples: part of the data, for means.
        held_back: another part, on which outputs are compared.
        calibrator, weight_calibrator: of activations and weights; `auto` is replaced by a quick one.
    Attributes:
        calibrator: the name of the one in use.
        samples_seen: number of samples on which outputs are compared.
    """

    def __init__(
        self,
        graph: Graph,
        plan_for: Callable[[Graph], Plan],
        dataset: Batches,
        samples: Samples,
        held_back: Samples,
        calibrator: Named,
        weight_calibrator: Named,
    ) -> None:
        self.plan_for, self.dataset, self.samples, self.held_back = plan_for, dataset, samples, held_back
        auto = calibrator is None or calibrator == AUTO
        self._by = parse_calibrator(QUICK_CALIBRATOR if auto else calibrator)  # type: ignore[arg-type]
        self.calibrator = self._by.name
        self.weight_calibrator = None if weight_calibrator == AUTO else weight_calibrator
        self.trial = Trial(graph, held_back)
        self.samples_seen = self.trial.samples

    def sqnr(self, candidate: Graph) -> float:
        """Measure the SQNR of the outputs in dB, with biases corrected where that helps.

        Raises:
            CalibrationError, PlanError: it cannot be quantized.
        """
        plan = self.plan_for(candidate)
        found = calibrate(candidate, plan, self.dataset, calibrator=self._by, weight_calibrator=self.weight_calibrator)
        (step,) = correct_biases(
            candidate, found.plan, self.samples, self.held_back, sequential=False, trial=self.trial
        ).steps
        assert step.before is not None and step.after is not None
        return max(step.before, step.after)
