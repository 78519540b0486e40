"""Estimate the distribution of a network's inputs from a stated range or from what batch norm recorded of them.

A first layer's batch norm has seen the inputs through known weights:

    mean y[o] = sum over c of A[o, c] mean x[c] + b[o]         var y[o] = std x**2 V[o]

A, V and b follow from the weights (see `moment_rules`). The channels' means are the least-squares solution; the spread,
one for all channels, is the median of those that the outputs imply. Where the spread of y was not recorded, it is taken
from the means behind the next layer. A stated range bounds the input; without batch norm its numbers are taken as
spread evenly over it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.data_free.channel_moments import channel_axis, corrected
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.moment_propagation import INPUT_FACTORS, MomentPropagation
from intaglio.errors import CalibrationError
from intaglio.graph import Graph
from intaglio.graph.access import Array, shape
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.graph.moments import Moments
from intaglio.graph.weights import product

InputRange = tuple[float, float] | Mapping[str, tuple[float, float]] | None
INPUT_SIGMAS = 3.0
"""Standard deviations to the end of the inputs: those of images and the like are bounded, unlike normal numbers."""
ROUGH_SIGMAS = 6.0
"""The same where the spread is known from means alone: too wide a range costs less than one too narrow."""
_MOST_CHANNELS = 16  # more channels get one common mean
_STEPS = {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Pad", "BatchNormalization", "Add", "Mul", "Sub"}


def input_normals(graph: Graph, input_range: InputRange = None) -> tuple[dict[str, ClippedGaussian], str]:
    """Estimate the distributions of the network's inputs.

    Args:
        graph: in normal form.
        input_range: (low, high) of all inputs, or by input name.
    Returns:
        Distributions by input name, and their source in words.
    Raises:
        CalibrationError: no batch norm follows an input and no range was stated, or one that is not two ascending
            finite numbers.
    """
    found, sentences = {}, []
    for value in graph.inputs:
        name = str(value.name)
        if is_integer_input(value):
            raise CalibrationError(
                f"input {name!r}: expected calibration data, as this input holds integers ({value.dtype}) such as "
                "indices, which cannot be drawn from statistics; give data"
            )
        stated = _stated(name, input_range)
        seen = _from_batch_norm(graph, value)
        if seen is None and stated is None:
            raise CalibrationError(
                f"input {name!r}: expected a range of the input, as no batch norm tells of it; state one: "
                "input_range=(low, high), on the command line --input-range LOW,HIGH, or give calibration data"
            )
        ones = torch.ones(shape(value), dtype=torch.float64)
        if seen is None:
            assert stated is not None
            low, high = stated
            mean, std = ones * (low + high) / 2, ones * (high - low) / math.sqrt(12)
            sentences.append(f"input {name!r} spread evenly over {low:g} to {high:g}, as stated")
        else:
            mean, std = seen.mean.expand(ones.shape), ones * seen.std
            means = ", ".join(f"{m:.2g}" for m in seen.mean.ravel().tolist()[:4])
            words = f"input {name!r} of means {means}"
            if stated is None or not seen.rough:
                words += f" and standard deviation {seen.std:.2g}"
            words += " as the first batch norms tell"
            if stated is None:
                sigmas = ROUGH_SIGMAS if seen.rough else INPUT_SIGMAS
                low, high = float((mean - sigmas * std).min()), float((mean + sigmas * std).max())
                sentences.append(f"{words}, taken to end {sigmas:g} of these away, at {low:.3g} and {high:.3g}")
            else:
                low, high = stated
                std = ones * (high - low) / math.sqrt(12) if seen.rough else std
                sentences.append(f"{words}, from {low:g} to {high:g} as stated")
        found[name] = ClippedGaussian(mean, std, mean.new_tensor(low), mean.new_tensor(high))
    return found, "; ".join(sentences)


def _stated(name: str, input_range: InputRange) -> tuple[float, float] | None:
    given = input_range.get(name) if isinstance(input_range, Mapping) else input_range
    if given is None:
        return None
    try:
        low, high = (float(x) for x in given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise CalibrationError(
            f"input range of {name!r}: expected two finite numbers, the lower one first, got {given!r}; state what the "
            "network is fed with after preprocessing, such as (-1, 1)"
        )
    return low, high


@dataclass(frozen=True)
class _Seen:
    """The mean and spread of an input as batch norm implies them.

    Args:
        mean: broadcasts to the input.
        std: one for all its channels.
        rough: whether the spread is known from means alone.
    """

    mean: Tensor
    std: float
    rough: bool


def _from_batch_norm(graph: Graph, value: ir.Value) -> _Seen | None:
    rules, full = MomentPropagation(graph), shape(value)
    zero = torch.zeros(full, dtype=torch.float64)
    probes = _probes(full)
    rows: list[Array] = []
    wanted: list[Array] = []
    spreads: list[float] = []
    rough = False
    with torch.no_grad():
        for path in _paths(value):
            recorded = graph.moments.get(str(path[-1].outputs[0].name))
            base = None if recorded is None else _mean(rules, path, ClippedGaussian.uncut(zero, zero), recorded)
            if recorded is None or base is None:
                continue
            means = [_mean(rules, path, ClippedGaussian.uncut(one.expand(full), zero), recorded) for one in probes]
            weight = 1 / np.maximum(np.where(np.isnan(recorded.std), 1.0, recorded.std), 1e-6)
            rows.append(np.stack([(m - base).numpy() for m in means if m is not None], axis=1) * weight[:, None])
            wanted.append((recorded.mean - base.numpy()) * weight)
            spreads += _spread(rules, path, ClippedGaussian.uncut(zero, torch.ones_like(zero)), recorded)
            rough |= bool(np.isnan(recorded.std).any())
    if not rows or not spreads:
        return None
    design, target = np.concatenate(rows), np.concatenate(wanted)
    if len(design) < 2 * len(probes):  # too few equations for a mean per channel
        together = design.sum(axis=1)
        solved = np.full(len(probes), float(together @ target / max(float(together @ together), 1e-300)))
    else:
        solved = np.linalg.lstsq(design, target, rcond=None)[0]
    mean = torch.stack([one * x for one, x in zip(probes, solved.tolist(), strict=True)]).sum(0)
    return _Seen(mean, float(np.exp(np.median(np.log(spreads)))), rough)


def _probes(size: tuple[int, ...]) -> list[Tensor]:
    """Make inputs that are 1 in one channel; a single one of ones where there are many channels."""
    axis = channel_axis_of_input(size)
    channels = size[axis] if size else 1
    if channels > _MOST_CHANNELS:
        return [torch.ones([1] * len(size), dtype=torch.float64)]
    reach = [1] * len(size)
    if size:
        reach[axis] = channels
    return list(torch.eye(channels, dtype=torch.float64).reshape(channels, *reach))


def channel_axis_of_input(size: tuple[int, ...]) -> int:
    """Find the channel axis of an input: 1, but the last one of an image in channels-last order."""
    return len(size) - 1 if len(size) < 2 or (len(size) > 2 and size[1] > size[-1]) else 1


def _paths(value: ir.Value) -> list[list[ir.Node]]:
    """Find the paths from an input through data movement and constant steps to a product with weights."""
    found: list[list[ir.Node]] = []
    waiting: list[tuple[ir.Value, list[ir.Node]]] = [(value, [])]
    while waiting:
        at, path = waiting.pop()
        for use in at.uses():
            node = use.node
            steps = [*path, node]
            if use.idx == 0 and product(node) is not None:
                found.append(steps)
            elif (
                use.idx == 0
                and node.op_type in _STEPS
                and all(v is None or v.is_initializer() for v in node.inputs[1:])
            ):
                waiting.append((node.outputs[0], steps))
    return found


def _computed(value: ir.Value | None) -> bool:
    return value is not None and not value.is_initializer()


def _through(rules: MomentPropagation, path: list[ir.Node], x: ClippedGaussian) -> ClippedGaussian:
    known = {str(path[0].inputs[0].name): x}  # type: ignore[union-attr]
    for node in path:
        known[str(node.outputs[0].name)] = rules.results(node, known)[0]
    return known[str(path[-1].outputs[0].name)]


def _mean(rules: MomentPropagation, path: list[ir.Node], x: ClippedGaussian, recorded: Moments) -> Tensor | None:
    y = _through(rules, path, x).mean
    axis = channel_axis(y, len(recorded.mean))
    return None if axis is None else y.mean([k for k in range(y.ndim) if k != axis])


def _spread(rules: MomentPropagation, path: list[ir.Node], unit: ClippedGaussian, recorded: Moments) -> list[float]:
    """Estimate the input's standard deviation from each output channel."""
    y = _through(rules, path, unit)
    axis = channel_axis(y.std, len(recorded.mean))
    assert axis is not None
    if np.isnan(recorded.std).any():
        factor = rules.spread_factor(path[-1].outputs[0], corrected(y, recorded), INPUT_FACTORS)
        return [] if factor is None else [factor]
    std = y.std.square().mean([k for k in range(y.std.ndim) if k != axis]).sqrt().numpy()
    live = (std > 1e-6 * std.max()) & (recorded.std > 1e-6 * recorded.std.max())
    return list(recorded.std[live] / std[live])
