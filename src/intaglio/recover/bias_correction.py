"""Bias correction: subtract from each bias the shift of the mean output that weight rounding causes.

Each layer by itself:

    b'[o] = b[o] + mean over positions of ( conv(m, W) - conv(m, Q(W)) )[o],      m = E[x], the mean input

Convolution is linear, so the mean input is sufficient. It is a full image, which is exact at padded borders, where
per-channel means would be wrong. It is measured on a few samples of the float network or, without data, computed from
moments (`calibrate.data_free.moment_rules`).

One layer after another, on samples only (see `sequential_bias`): also corrects the shift by earlier layers.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2.1 (from batch norm) and appendix D (from samples).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.calibrator_trial import Correction
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.parameters.derive import derive
from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.graph.access import Array, attribute, constant
from intaglio.graph.unique_names import names_kept
from intaglio.number import QuantParams
from intaglio.ops import float_operator
from intaglio.plan import Plan, Step
from intaglio.recover.biases import CHANNEL_AXIS, add_to_bias, bias_layers
from intaglio.recover.recovery import Recovery, better_of
from intaglio.recover.sequential_bias import corrected_in_order
from intaglio.simulate import Simulator
from intaglio.simulate.simulator import rounded_constant

ALGORITHM = "bias correction"


def correct_biases(
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    sequential: bool | None = None,
    trial: Trial | None = None,
) -> Recovery:
    """Correct the bias of every layer whose weights are rounded.

    Args:
        graph: the prepared network; not modified.
        plan: calibrated Plan; not modified.
        samples: inputs for the means; some tens are enough.
        held_back: other inputs, on which the outputs are compared with float before and after.
        reference: the float network with unrounded weights, if those of `graph` are already rounded (by AdaRound).
        sequential: correct one layer after another (True) or each by itself (False); None: whichever is better.
        trial: float outputs on the held-back samples, if already computed.
    Returns:
        The corrected network; the given one if the correction made the outputs worse.
    """
    reference = graph if reference is None else reference
    ways: dict[str, tuple[Graph, Plan]] = {}
    if sequential is not True:
        ways["each by itself"] = MeanCorrection(reference, _mean_inputs(reference, samples))(graph, plan)
    if sequential is not False:
        ways["one after the other"] = corrected_in_order(graph, plan, samples, reference)
    trial = Trial(reference, held_back) if trial is None else trial
    reached = {way: trial.sqnr(*made) for way, made in ways.items()}
    best, *others = sorted(ways, key=lambda way: -reached[way])
    text = f"{ALGORITHM} of {len(bias_layers(graph))} layers, {best}"
    text += "".join(f" ({other}: {reached[other]:.2f} dB)" for other in others)
    return better_of(trial, ALGORITHM, text, (graph, plan), ways[best], reached[best])


def correct_biases_without_data(
    graph: Graph,
    plan: Plan,
    predicted: Mapping[str, ClippedGaussian],
    held_back: Samples | None = None,
    *,
    reference: Graph | None = None,
) -> Recovery:
    """Correct the bias of every layer whose weights are rounded, from expected means instead of samples.

    Args:
        graph, plan: see `correct_biases`.
        predicted: moments of all values of the float network (`calibrate.predict`).
        held_back: inputs on which the outputs are compared with float; None: keep the correction without measuring.
        reference: see `correct_biases`.
    """
    reference = graph if reference is None else reference
    names = {str(node.inputs[0].name) for node in bias_layers(reference) if node.inputs[0] is not None}
    means = {name: predicted[name].moments()[0] for name in names}
    made = MeanCorrection(reference, means)(graph, plan)
    text = f"{ALGORITHM} of {len(bias_layers(graph))} layers, from expected means"
    if held_back is not None:
        return better_of(Trial(reference, held_back), ALGORITHM, text, (graph, plan), made)
    unmeasured = Step(ALGORITHM, f"{text}; not measured, as there are no data", kept=True)
    return Recovery(*made, [unmeasured])


def _mean_inputs(graph: Graph, samples: Samples) -> dict[str, Tensor]:
    """Measure the mean over samples of each layer's input, float64, (1, ...)."""
    wanted = {str(node.inputs[0].name) for node in bias_layers(graph) if node.inputs[0] is not None}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def observe(name: str, x: Tensor) -> None:
        if name in wanted:
            total = x.sum(0, keepdim=True, dtype=torch.float64) if simulator.batched else x.double()
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + (len(x) if simulator.batched else 1)

    simulator = Simulator(graph)
    with torch.no_grad():
        for feed in samples.feeds(simulator):
            simulator(feed, observe)
    return {name: total / counts[name] for name, total in sums.items()}


class MeanCorrection:
    """Bias correction of each layer by itself, for any Plan of a network.

    Args:
        reference: the float network with unrounded weights.
        means: mean over samples of each layer's input by value name, (1, ...).
    """

    def __init__(self, reference: Graph, means: Mapping[str, Tensor]) -> None:
        self.real, self.means = Simulator(reference).constants, means
        self._shifts: dict[str, tuple[Array, QuantParams | None, Array]] = {}

    def __call__(self, graph: Graph, plan: Plan) -> tuple[Graph, Plan]:
        """Return the corrected network; the arguments are not modified."""
        graph, plan = graph.copy(), plan.copy()
        with names_kept(graph.model.graph):
            for node in bias_layers(graph):
                add_to_bias(graph, plan, node, self._shift(node, plan) / attribute(node, "beta", 1.0))
        derive(graph, plan)
        return graph, plan

    def _shift(self, node: ir.Node, plan: Plan) -> Array:
        """Return the shift of a layer's mean output, (O,). Plans that round its weight alike share the result."""
        data, weight = node.inputs[:2]
        array = constant(weight)
        assert data is not None and weight is not None and array is not None
        name, params = str(weight.name), plan.params(str(weight.name)) if weight.name in plan.values else None
        known = self._shifts.get(name)
        if known is None or known[0] is not array or known[1] != params:
            real = self.real[name]
            rounded = rounded_constant(weight, params, real.device)
            difference = _output(node, self.means[str(data.name)], real.double() - rounded.double())
            axis = CHANNEL_AXIS[node.op_type] % difference.ndim
            shift = difference.mean(dim=[i for i in range(difference.ndim) if i != axis]).cpu().numpy()
            known = self._shifts[name] = array, params, shift
        return known[2]


def corrected_by_means(graph: Graph, samples: Callable[[], Samples]) -> Correction:
    """Return a function that corrects each bias by itself, for any calibrated Plan of a float network.

    Args:
        graph: the network.
        samples: returns inputs for the means; called once, for the first Plan.
    """
    made = cache(lambda: MeanCorrection(graph, _mean_inputs(graph, samples())))
    return lambda network, plan: made()(network, plan)


def _output(node: ir.Node, x: Tensor, weight: Tensor) -> Tensor:
    """Compute a layer without its bias, in float64."""
    with torch.no_grad():
        y = float_operator(node).real(node, x, weight)
    assert isinstance(y, Tensor)
    return y
