"""Constant channels: move a channel's constant value into the bias and set its weights to zero.

    W'[c] = 0,   b'[c] = v        if act(W[c] x + b[c]) = act(v) for every x that was observed, or is possible
    W2'[:, c] = 0                 if also act(v) = 0

Batch norm folded into a channel that never varied multiplies its weights by `1 / sqrt(epsilon)`. These weights are the
largest of their tensor although they have no effect; they ruin a scale per tensor, and equalization spreads them.

A channel is constant by proof (interval arithmetic on the weights and the known range of the input) or by observation
(calibration data or, without them, the statistics of batch norm). Observations count only for channels with unusually
large weights, and data only if there are enough samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.data_free.channel_moments import channel_moments
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.graph.access import Array, attribute, input_value, shape, single_consumer
from intaglio.graph.bounds import bounds
from intaglio.graph.edit import add_constant, set_constant
from intaglio.graph.operators import facts
from intaglio.graph.weights import WeightedProduct, product
from intaglio.ops.clamp import clamp_bounds
from intaglio.plan import Step
from intaglio.recover.channels import magnitudes
from intaglio.simulate import Simulator

ALGORITHM = "constant channels"
FEWEST_SAMPLES = 32
"""Fewest samples on which a channel may be called constant."""
NEGLIGIBLE = 2.0**-24
"""A channel whose range is at most this fraction of its layer's largest output is constant."""
TOLERANCE = 1e-3
"""Largest accepted change of the outputs on held-back samples, as a fraction of the largest output."""
STILL = 1e-3
"""A channel whose standard deviation in batch norm is below this fraction of the median channel's is constant."""
STANDS_OUT = 2.0
"""An observed constant channel is cut only if its largest weight is this many times that of the median channel."""


@dataclass(frozen=True)
class Freed:
    """Result of `free_constant_channels`.

    Args:
        graph: the changed graph; the given one if no channel was found.
        steps: history; empty if no channel was found.
        channels: number of channels whose weights were set to zero.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    channels: int = 0


def free_constant_channels(
    graph: Graph,
    samples: Samples | None = None,
    held_back: Samples | None = None,
    *,
    predicted: Mapping[str, ClippedGaussian] | None = None,
) -> Freed:
    """Set the weights of constant channels to zero.

    Args:
        graph: the prepared network, batch norms folded; not modified.
        samples: calibration inputs; None: use only proofs and the statistics of batch norm.
        held_back: other inputs, on which the outputs must not change; if they do, only proved channels are cut.
        predicted: moments of all values (`calibrate.predict`), if there are no samples.
    Returns:
        The changed network, which computes the same on the samples up to rounding.
    """
    freed = _freed(graph, samples, predicted or {})
    if held_back is None or not freed.channels:
        return freed
    difference = _difference(graph, freed.graph, held_back)
    if difference <= TOLERANCE:
        return freed
    words = (
        f"{freed.steps[0]}; reverted: outputs on held-back samples changed by {difference:.2g} of the largest output"
    )
    reverted = Step(ALGORITHM, words, kept=False)
    if samples is None:
        return Freed(graph, [reverted])
    proved = free_constant_channels(graph, None, held_back)
    return Freed(proved.graph, [reverted, *proved.steps], proved.channels)


def _difference(graph: Graph, other: Graph, samples: Samples) -> float:
    """Return the largest change of the outputs as a fraction of the largest output; 0 without samples."""
    simulators = Simulator(graph), Simulator(other)
    error = largest = 0.0
    with torch.no_grad():
        for feed in samples.feeds(simulators[0]):
            want, got = (simulator(feed) for simulator in simulators)
            for name, y in want.items():
                error = max(error, float((y - got[name]).abs().max()))
                largest = max(largest, float(y.abs().max()))
    return error / max(largest, 1e-30)


def _freed(graph: Graph, samples: Samples | None, predicted: Mapping[str, ClippedGaussian]) -> Freed:
    made = graph.copy()
    layers = [found for node in made.nodes if (found := product(node)) is not None and found.takes_bias]
    seen = {} if samples is None else _seen(made, samples, layers)
    proved = believed = columns = 0
    for found in layers:
        value = _activated(found).outputs[0]
        fixed, outcome = _proved(found)
        extremes = seen.get(str(value.name))
        if extremes is not None:
            low, high = extremes
            still = (high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high))) & ~fixed & _outstanding(found)
            outcome = np.where(still, low, outcome)
        else:
            never, usual = _expected(made, found, predicted) if samples is None else (np.zeros_like(fixed), outcome)
            still = never & ~fixed & _outstanding(found)
            outcome = np.where(still, usual, outcome)
        believed += int(still.sum())
        weighty = magnitudes(found).max(axis=2).reshape(-1) > 0
        cut = (fixed & weighty) | still
        proved += int((fixed & weighty).sum())
        if cut.any():
            _cut(made, found, cut, outcome)
        columns += _cut_readers(value, (fixed | still) & (outcome == 0))
    if not proved + believed + columns:
        return Freed(graph)
    made.verify()
    words = f"{proved + believed} constant channels moved into the bias, their weights set to zero"
    seen_in = "on the samples" if samples is not None else "according to batch norm"
    words += f" ({proved} proved from the weights, {believed} never varied {seen_in})"
    words += f"; weights of {columns} input channels that are always zero set to zero"
    return Freed(made, [Step(ALGORITHM, words, kept=True)], proved + believed)


def _activated(found: WeightedProduct) -> ir.Node:
    """Return the clamp that is the only reader of a product, or the product itself."""
    after = single_consumer(found.node.outputs[0])
    return after if after is not None and facts(after.op_type).clamps and not after.domain else found.node


def _clamp(found: WeightedProduct, x: Array) -> Array:
    after = _activated(found)
    return x if after is found.node else np.clip(x, *clamp_bounds(after))


def _proved(found: WeightedProduct) -> tuple[Array, Array]:
    """Return the channels that are constant for all inputs, and their values after the activation.

    With inputs in [l, h] a sum lies between `b + sum min(w l, w h)` and `b + sum max(w l, w h)`; padding adds zeros.
    """
    low, high = bounds(found.node.inputs[0])
    if not found.sees_no_padding:
        low, high = min(low, 0.0), max(high, 0.0)
    weight = found.weight.astype(np.float64)
    bias = np.zeros(found.outputs) if found.bias is None else found.bias
    positive, negative = (_per_output(found, np.maximum(sign * weight, 0)) for sign in (1.0, -1.0))
    with np.errstate(invalid="ignore"):
        least = bias + np.where(positive > 0, positive * low, 0) - np.where(negative > 0, negative * high, 0)
        most = bias + np.where(positive > 0, positive * high, 0) - np.where(negative > 0, negative * low, 0)
    least, most = _clamp(found, least), _clamp(found, most)
    finite = np.isfinite(least) & np.isfinite(most)
    least, most = np.where(finite, least, 0.0), np.where(finite, most, 0.0)
    reach = float(np.maximum(np.abs(least), np.abs(most)).max()) if finite.all() else 0.0
    fixed = finite & (most - least <= NEGLIGIBLE * reach)
    return fixed, np.where(fixed, (least + most) / 2, 0.0)


def _expected(graph: Graph, found: WeightedProduct, predicted: Mapping[str, ClippedGaussian]) -> tuple[Array, Array]:
    """Return the channels that are expected to be constant, and their values after the activation."""
    name = str(found.node.outputs[0].name)
    moments = channel_moments(predicted[name], found.outputs) if name in predicted else graph.moments.get(name)
    if moments is None or len(moments.mean) != found.outputs or np.isnan(moments.std).any():
        return np.zeros(found.outputs, bool), np.zeros(found.outputs)
    return moments.std <= STILL * np.median(moments.std), _clamp(found, moments.mean)


def _per_output(found: WeightedProduct, weight: Array) -> Array:
    """Sum weights over the inputs of each output channel, (outputs,); an upper bound for transposed convolutions."""
    groups = int(attribute(found.node, "group", 1))
    if found.node.op_type == "ConvTranspose":
        split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return np.asarray(split.sum(axis=(1, 3)).reshape(-1))
    if found.node.op_type == "Conv":
        return np.asarray(weight.reshape(found.outputs, -1).sum(axis=1))
    return np.asarray(weight.sum(axis=1 if attribute(found.node, "transB", 0) else 0))


def _outstanding(found: WeightedProduct) -> Array:
    ranges = magnitudes(found).max(axis=2).reshape(-1)
    live = ranges[ranges > 0]
    return ranges > STANDS_OUT * np.median(live) if live.size else np.zeros(ranges.shape, bool)


def _cut(graph: Graph, found: WeightedProduct, channels: Array, outcome: Array) -> None:
    node = found.node
    bias = np.zeros(found.outputs) if found.bias is None else found.bias
    found.scale_outputs(np.where(channels, 0.0, 1.0))
    array = np.where(channels, outcome, bias).astype(np.float32)
    old = input_value(node, 2)
    if old is not None:
        set_constant(old, array)
        return
    node.resize_inputs(3)
    node.replace_input_with(2, add_constant(graph.model.graph, f"{node.inputs[1].name}_bias", array))  # type: ignore[union-attr]


def _cut_readers(value: ir.Value, zero: Array) -> int:
    """Set weights that are only multiplied by zeros to zero; return the number of input channels changed."""
    count = 0
    for use in value.uses():
        reader = product(use.node)
        if reader is None or use.idx != 0 or not zero.any() or shape(value)[reader.input_axis] != zero.size:
            continue
        weight = magnitudes(reader)
        read = np.broadcast_to(weight.max(axis=1).reshape(-1), zero.shape) > 0
        if (read & zero).any():
            reader.scale_inputs(np.where(zero, 0.0, 1.0))
            count += int((read & zero).sum())
    return count


def _seen(graph: Graph, samples: Samples, layers: list[WeightedProduct]) -> Mapping[str, tuple[Array, Array]]:
    """Measure minimum and maximum of each channel after the activation; empty with too few samples."""
    wanted = {str(_activated(found).outputs[0].name): found.output_axis for found in layers}
    extremes: dict[str, tuple[Tensor, Tensor]] = {}
    simulator = Simulator(graph)
    count = 0

    def observe(name: str, x: Tensor) -> None:
        axis = wanted.get(name)
        if axis is None:
            return
        rest = [k for k in range(x.ndim) if k != axis % x.ndim]
        low, high = x.amin(rest), x.amax(rest)
        if name in extremes:
            low, high = torch.minimum(low, extremes[name][0]), torch.maximum(high, extremes[name][1])
        extremes[name] = low, high

    with torch.no_grad():
        for feed in samples.feeds(simulator):
            count += simulator.samples_in(feed)
            simulator(feed, observe)
    if count < FEWEST_SAMPLES:
        return {}
    return {
        name: (low.double().cpu().numpy(), high.double().cpu().numpy())
        for name, (low, high) in extremes.items()
        if math.isfinite(float(low.sum() + high.sum()))
    }
