"""Quantize after training without data, from the weights and what batch norm recorded.

    constant channels -> cross-layer equalization -> high-bias absorption -> expected ranges -> bias correction

Variants are compared on noise with the expected distribution of the inputs (`calibrate.Noise`): outputs on noise say
little about accuracy, but they do show a layer that one scale per tensor ruins.

Source: Nagel et al. 2019, arXiv:1906.04721.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from intaglio.calibrate import Statistics
from intaglio.calibrate.data_free.input_moments import InputRange
from intaglio.calibrate.data_free.noise import Noise
from intaglio.calibrate.data_free.prediction import Prediction, predict
from intaglio.calibrate.no_data import calibrate_without_data
from intaglio.calibrate.parameters.choose_params import Named
from intaglio.errors import IntaglioError
from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.plan.step import SQNR
from intaglio.ptq.quick_trial import LEAST_GAIN, LEAST_GAIN_CAPS
from intaglio.recover.absorption import absorb_high_biases
from intaglio.recover.bias_correction import correct_biases_without_data
from intaglio.recover.dead_channels import free_constant_channels
from intaglio.recover.equalization import equalize as equalize_layers
from intaglio.targets.target import AUTO

ALGORITHM = "calibration"
TRIAL_SAMPLES = 32
OTHER_CALIBRATOR = "mse"
"""Tried beside the one that `auto` stands for without data: it suits rough moments, whose extremes are far too wide."""


@dataclass
class DataFree:
    """A network quantized without data.

    Args:
        graph, plan: the best variant, calibrated.
        reference: the same before its biases were corrected.
        steps: what was tried.
        statistics: the predicted ones that its ranges come from.
        noise: the inputs on which variants were compared.
    """

    graph: Graph
    plan: Plan
    reference: Graph
    statistics: Statistics
    noise: Noise
    steps: list[Step] = field(default_factory=list)


@dataclass(frozen=True)
class _Variant:
    """A network to compare (None: nothing changed), the dB that it has to gain, and the steps that made it."""

    graph: Graph | None
    least_gain: float
    steps: tuple[Step, ...]


def quantize_without_data(
    graph: Graph,
    plan_for: Callable[[Graph], Plan],
    *,
    input_range: InputRange = None,
    calibrator: Named = None,
    weight_calibrator: Named = None,
    equalize: bool = True,
    bias_correction: bool = True,
) -> DataFree:
    """Quantize a float network after training, without data.

    Args:
        graph: in normal form, from `intaglio.load`; it is left as it is.
        plan_for: places a network.
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: from the first batch norms.
        calibrator: see `calibrate_without_data`; of `auto`, `max` and `mse` are compared on noise.
        weight_calibrator: see `calibrate_without_data`.
        equalize: cut constant channels, equalize, absorb high biases.
        bias_correction: correct biases from expected means.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is not two ascending finite numbers.
    """
    prediction = predict(graph, input_range)
    noise = Noise(prediction.inputs, TRIAL_SAMPLES)

    def calibrated(candidate: Graph, expected: Prediction, named: Named) -> DataFree:
        found = calibrate_without_data(
            candidate,
            plan_for(candidate),
            calibrator=named,
            weight_calibrator=weight_calibrator,
            prediction=expected,
        )
        return DataFree(candidate, found.plan, candidate, found.statistics, noise, list(found.steps))

    if not (equalize or bias_correction):
        return calibrated(graph, prediction, calibrator)
    trial = Trial(graph, noise)

    def tried(candidate: Graph, named: Named) -> tuple[float, DataFree]:
        expected = prediction.of(candidate)
        made = calibrated(candidate, expected, named)
        if bias_correction:
            found = correct_biases_without_data(candidate, made.plan, expected.values, noise)
            made.graph, made.plan, made.steps = found.graph, found.plan, [*made.steps, *found.steps]
        return trial.sqnr(made.graph, made.plan), made

    plain = _Variant(graph, 0.0, ())
    base, *others = _variants(graph, noise, prediction) if equalize else [plain]
    assert base.graph is not None
    history, chosen = list(base.steps), base.graph
    best, made = tried(chosen, calibrator)
    attempts = [(v.graph, calibrator, v.least_gain, v.steps) for v in others]
    if calibrator == AUTO:
        attempts.append((None, OTHER_CALIBRATOR, LEAST_GAIN, (Step(ALGORITHM, f"ranges by {OTHER_CALIBRATOR}"),)))
    for candidate, named, least_gain, steps in attempts:
        if candidate is None and named == calibrator:
            history += steps
            continue
        candidate = chosen if candidate is None else candidate
        step = steps[-1]
        try:
            reached, found = tried(candidate, named)
        except IntaglioError as error:
            history.append(Step(step.algorithm, f"{step}; it cannot be quantized so ({error}); reverted", kept=False))
            continue
        kept = reached >= best + least_gain
        text = f"{step}: output SQNR {best:.2f} -> {reached:.2f} dB on {trial.samples} inputs of noise; "
        text += "kept" if kept else "reverted"
        history.append(Step(step.algorithm, text, SQNR, best, reached, trial.samples, kept))
        if kept:
            best, made, chosen = reached, found, candidate
    made.steps = [_on_noise(step) for step in (*history, *made.steps)]
    return made


def _on_noise(step: Step) -> Step:
    return replace(step, text=step.text.replace("held-back samples", "inputs of noise"))


def _variants(graph: Graph, noise: Noise, prediction: Prediction) -> Iterator[_Variant]:
    """Make the variants: without constant channels; equalized, without and with caps per channel; biases absorbed."""
    freed = free_constant_channels(graph, predicted=prediction.values)
    yield _Variant(freed.graph, 0.0, tuple(freed.steps))
    expected = prediction.of(freed.graph).values
    networks: list[tuple[Graph, bool]] = []
    for caps in (False, True):
        made = equalize_layers(freed.graph, predicted=expected, carry_caps=caps)
        if made.changed and (made.caps or not caps):
            networks.append((made.graph, caps))
            yield _Variant(made.graph, LEAST_GAIN_CAPS if made.caps else LEAST_GAIN, tuple(made.steps))
    for network, caps in networks or [(freed.graph, False)]:
        absorbed = absorb_high_biases(network, noise, predicted=prediction.of(network).values, carry_caps=caps)
        gain = LEAST_GAIN_CAPS if absorbed.caps else LEAST_GAIN
        yield _Variant(absorbed.graph if absorbed.changed else None, gain, tuple(absorbed.steps))
