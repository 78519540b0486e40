"""Cross-layer equalization: rescale channels so that all channels of a weight tensor have similar ranges.

    W1'[c] = W1[c] / s[c],   b1'[c] = b1[c] / s[c],   W2'[:, c] = W2[:, c] * s[c],   cap'[c] = cap[c] / s[c]
    s[c] = sqrt(p1[c] / p2[c]),   p[c] = (largest |weight| of channel c) / (largest |weight| of its tensor)

s is positive and the activations between are homogeneous (see `recover.channels`), so the network's function does not
change. If several products write or read the channels (residual connections), p is the largest of theirs. All groups
are visited in turn until the factors converge. An upper bound that becomes one per channel turns `Clip(0, cap)` into
`Min(Relu(x), caps)`.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1, eq. (11). The paper replaces ReLU6 by ReLU, which ruins some
networks; bounds per channel keep the function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from functools import reduce

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.expected_statistics import SIGMAS
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.graph.access import Array, constant, input_value, shape, single_consumer
from intaglio.graph.edit import add_constant, insert, remove, replace, set_constant
from intaglio.graph.operators import facts
from intaglio.graph.unique_names import names_kept, new_value_name, note_names
from intaglio.graph.weights import WeightedProduct
from intaglio.ops.clamp import clamp_bounds
from intaglio.plan import Step
from intaglio.recover.channels import ChannelGroup, channel_groups, magnitudes
from intaglio.simulate import Simulator

ALGORITHM = "cross-layer equalization"
SWEEPS = 60
SETTLED = 1e-3
"""Sweeps end when no log factor changes by more than this."""
_WEAK = 64.0
"""Channels this many times weaker than the median channel are moved as little as possible."""
_BIAS_SHARE = 1 / 256
"""Weight of biases in the range of a channel: they have 32 bits, so they may be larger than the weights."""
LARGEST_FACTOR = 2.0**24
TOLERANCE = 1e-4
"""Largest change of the outputs that counts as float rounding, as a fraction of the largest output."""


@dataclass(frozen=True)
class Equalized:
    """Result of `equalize`.

    Args:
        graph: the equalized graph; the given one if there was nothing to do or the outputs changed.
        steps: history.
        changed: whether `graph` is a changed graph.
        caps: number of clamps that now need one bound per channel; each adds an operator to the Program.
        left_out: number of chains that were left as they are because of their upper bounds.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    changed: bool = False
    caps: int = 0
    left_out: int = 0


def equalize(
    graph: Graph,
    samples: Samples | None = None,
    *,
    predicted: Mapping[str, ClippedGaussian] | None = None,
    carry_caps: bool = True,
) -> Equalized:
    """Equalize the ranges of weights across layers.

    Args:
        graph: the prepared network, batch norms folded; not modified.
        samples: inputs for the ranges of activations.
        predicted: moments of all values, instead of samples (`calibrate.predict`). Without both, only the
            ranges of weights and biases decide.
        carry_caps: also scale channels after a Clip with a finite upper bound, which becomes one bound per channel.
    Returns:
        The result. Scaled values get new names, because a name stands for one real tensor; their batch-norm
        statistics are scaled too.
    """
    made = graph.copy()
    found = channel_groups(made)
    groups = [g for g in found if carry_caps or not g.caps]
    result = _equalized(graph, made, groups, samples, predicted)
    return replace_fields(result, left_out=len(found) - len(groups))


def _equalized(
    graph: Graph,
    made: Graph,
    groups: list[ChannelGroup],
    samples: Samples | None,
    predicted: Mapping[str, ClippedGaussian] | None,
) -> Equalized:
    """Equalize the given groups of `made`, a copy of the graph, in place."""
    if not groups:
        return _left(graph, "no chain of layers to equalize")
    if not all(np.isfinite(p.weight).all() for g in groups for p in (*g.producers, *(r for r, _ in g.readers))):
        return _left(graph, "nothing done, because some weights are NaN or infinite")
    activations = _activations(made, groups, samples, predicted)
    if not all(np.isfinite(a).all() for reached in activations for a in reached):
        return _left(graph, "nothing done, because some activations are NaN or infinite")
    factors, before, after = _factors(groups, activations)
    moved = [k for k, s in enumerate(factors) if np.abs(np.log(s)).max() > SETTLED]
    if not moved:
        return _left(graph, f"{len(groups)} chains are already equal")
    with names_kept(made.model.graph):
        caps = sum(scale_group(made, groups[k], factors[k]) for k in moved)
    made.model.graph.sort()
    made.verify()
    words = (
        f"{ALGORITHM} of {len(moved)} chains: largest channel range over median channel range of a weight tensor "
        f"at most {before:.3g} before, {after:.3g} after"
    )
    if caps:
        words += f"; {caps} upper bounds are now per channel"
    difference = output_difference(graph, made)
    if not difference <= TOLERANCE:
        words += f"; reverted: the outputs changed by {difference:.2g} of the largest output"
        return Equalized(graph, [Step(ALGORITHM, words, kept=False)])
    return Equalized(made, [Step(ALGORITHM, words, kept=True)], True, caps)


def _left(graph: Graph, why: str) -> Equalized:
    """Return the given graph with the reason why nothing was done."""
    return Equalized(graph, [Step(ALGORITHM, f"{ALGORITHM}: {why}")])


def _factors(groups: list[ChannelGroup], activations: list[list[Array]]) -> tuple[list[Array], float, float]:
    """Return s of each group, and the largest ratio of channel ranges in a tensor before and after."""
    weights: dict[ir.Node, Array] = {}
    for group in groups:
        for found in (*group.producers, *(p for p, _ in group.readers)):
            weights.setdefault(found.node, magnitudes(found))
    before = _spread(weights)
    biases = [[np.abs(p.bias) for p in group.producers if p.bias is not None] for group in groups]
    factors = [np.ones(group.channels) for group in groups]
    for _ in range(SWEEPS):
        largest = 0.0
        for k, group in enumerate(groups):
            step = _step(group, weights, factors[k], activations[k], biases[k])
            step = _between(factors[k] * step, 1 / LARGEST_FACTOR, LARGEST_FACTOR) / factors[k]
            for found in group.producers:
                weights[found.node] = weights[found.node] / _rows(step, weights[found.node])
            for found, repeat in group.readers:
                weights[found.node] = weights[found.node] * _columns(_repeated(step, repeat), weights[found.node])
            factors[k] = factors[k] * step
            largest = max(largest, float(np.abs(np.log(step)).max()))
        if largest < SETTLED:
            break
    return factors, before, _spread(weights)


def _step(
    group: ChannelGroup, weights: dict[ir.Node, Array], factors: Array, others: list[Array], biases: list[Array]
) -> Array:
    """Return sqrt(p1 / p2), divided by its geometric mean.

    It runs some ten thousand times on small arrays: it calls few functions.

    A channel that is weak on both sides, or has no weights on one side, is moved as little as possible: any step from
    `p1 / level` to `level / p2` is good for it.
    """
    rows = [weights[p.node].max(axis=2).reshape(-1) for p in group.producers]
    columns = [weights[p.node].max(axis=1).reshape(group.channels, n).max(axis=1) for p, n in group.readers]
    shares = [_share(r) for r in rows] + [_share(a / factors) for a in others]
    written = reduce(np.maximum, shares + [_BIAS_SHARE * _share(b / factors) for b in biases])
    read = reduce(np.maximum, [_share(c) for c in columns])
    both = np.sqrt(written * read)
    if not both.any():
        return np.ones(group.channels)
    level = np.maximum(both, _median(both[both > 0]) / _WEAK)
    lowest, highest = written / level, level / np.maximum(read, 1e-300)
    step = _between(1.0, lowest, np.maximum(lowest, highest))
    return np.asarray(step / np.exp(np.log(step).sum() / len(step)))


def _between(x: Array | float, low: Array | float, high: Array | float) -> Array:
    """Limit x to [low, high]."""
    return np.minimum(np.maximum(x, low), high)


def _median(x: Array) -> float:
    """Return the median of (K,) numbers, K > 0. (`np.median` takes ten times as long for few numbers.)"""
    x, middle = np.sort(x), len(x) // 2
    return float(x[middle] if len(x) % 2 else (x[middle - 1] + x[middle]) / 2)


def _repeated(step: Array, times: int) -> Array:
    return step if times == 1 else np.repeat(step, times)


def _activations(
    graph: Graph, groups: list[ChannelGroup], samples: Samples | None, predicted: Mapping[str, ClippedGaussian] | None
) -> list[list[Array]]:
    """Return the largest |x| by channel, (C,), of each value with its own scale; one list for each group."""
    wanted: dict[str, tuple[int, int]] = {}
    for group in groups:
        for value, axis in group.values.items():
            after = single_consumer(value)
            if after is None or not facts(after.op_type).clamps:
                wanted[str(value.name)] = axis
    found: dict[str, Tensor] = {}

    def observe(name: str, x: Tensor) -> None:
        if name in wanted:
            axis, repeat = wanted[name]
            reach = x.abs().amax([k for k in range(x.ndim) if k != axis % x.ndim]).reshape(-1, repeat).amax(1)
            found[name] = torch.maximum(found[name], reach) if name in found else reach

    if samples is not None:
        simulator = Simulator(graph)
        with torch.no_grad():
            for feed in samples.feeds(simulator):
                simulator(feed, observe)
    elif predicted is not None:
        for name in wanted.keys() & predicted.keys():
            for end in predicted[name].interval(SIGMAS):
                observe(name, end)
    return [[found[str(v.name)].double().cpu().numpy() for v in g.values if str(v.name) in found] for g in groups]


def _share(ranges: Array) -> Array:
    return ranges / max(float(ranges.max()), 1e-300)


def _rows(step: Array, weight: Array) -> Array:
    """Reshape factors of output channels to broadcast against (G, O / G, I / G)."""
    return step.reshape(weight.shape[0], weight.shape[1], 1)


def _columns(step: Array, weight: Array) -> Array:
    """Reshape factors of input channels to broadcast against (G, O / G, I / G)."""
    return step.reshape(weight.shape[0], 1, weight.shape[2])


def _spread(weights: dict[ir.Node, Array]) -> float:
    """Return the largest ratio of a tensor's range to the median range of its channels."""
    worst = 1.0
    for weight in weights.values():
        ranges = weight.max(axis=2).reshape(-1)
        ranges = ranges[ranges > 0]
        if ranges.size:
            worst = max(worst, float(ranges.max() / np.median(ranges)))
    return worst


def scale_group(graph: Graph, group: ChannelGroup, factors: Array) -> int:
    """Scale a group in place; return the number of bounds that became one per channel."""
    for found in group.producers:
        found.scale_outputs(1 / factors)
        _scale_bias(found, factors)
    for found, repeat in group.readers:
        found.scale_inputs(np.repeat(factors, repeat))
    for value in group.shifts:
        array = constant(value)
        assert array is not None
        axis = next(a for v, (a, _) in group.values.items() if any(u.node.outputs[0] is v for u in value.uses()))
        full = next(len(shape(v)) for v in group.values)
        size = [1] * full
        size[axis] = group.channels
        spread = np.broadcast_to(array.astype(np.float64).reshape(-1), (group.channels,)) / factors
        set_constant(value, spread.astype(np.float32).reshape(size))
    for value, (_, repeat) in group.values.items():
        recorded = graph.moments.pop(str(value.name), None)
        value.name = new_value_name(graph.model.graph, f"{value.name}.equalized")
        note_names(graph.model.graph, [value])
        if recorded is not None:
            graph.moments[value.name] = recorded.divided(np.repeat(factors, repeat))
    for node in group.caps:
        axis, _ = group.values[node.outputs[0]]
        carry_caps_per_channel(graph.model.graph, node, clamp_bounds(node)[1] / factors, axis)
    return len(group.caps)


def _scale_bias(found: WeightedProduct, factors: Array) -> None:
    value, bias = input_value(found.node, 2), found.bias
    if value is not None and bias is not None:
        set_constant(value, (bias / factors).astype(np.float32))


def carry_caps_per_channel(graph: ir.Graph, clip: ir.Node, caps: Array, axis: int) -> None:
    """Replace Clip(x, 0, cap) by Min(Relu(x), caps); the result keeps its name."""
    result = clip.outputs[0]
    size = [1] * len(shape(result))
    size[axis] = len(caps)
    bound = add_constant(graph, f"{result.name}.caps", caps.astype(np.float32).reshape(size))
    name = str(clip.name)
    source = clip.inputs[0]
    if clamp_bounds(clip)[0] == 0:
        source = insert(graph, clip, "Relu", [source], name=f"{name}.floor").outputs[0]
    last = insert(graph, clip, "Min", [source, bound], name=f"{name}.caps")
    replace(result, last.outputs[0])
    remove(graph, clip)
    last.name = name


def output_difference(graph: Graph, other: Graph) -> float:
    """Return the largest change of the outputs on random inputs, as a fraction of the largest output."""
    simulators = Simulator(graph), Simulator(other)
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for scale in (0.1, 1.0, 4.0):
        feed = {}
        for name in simulators[0].input_names:
            x = scale * torch.randn(simulators[0].input_shapes[name], generator=generator)
            feed[name] = x.to(simulators[0].device)
        with torch.no_grad():
            want, got = (simulator(dict(feed)) for simulator in simulators)
        for name, y in want.items():
            error = float((y - got[name]).abs().max()) / max(float(y.abs().max()), 1e-30)
            worst = max(worst, error if error == error else float("inf"))  # a NaN counts as an infinite change
    return worst
