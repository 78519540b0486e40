"""High-bias absorption: move the constant part of a channel into the bias of the next layer.

    c = max(0, mean - 3 std)         b1' = b1 - c         b2' = b2 + W2 c         cap' = cap - c

After a ReLU, `relu(y - c) = relu(y) - c` holds if `y >= c`, which is true for all but 0.13 % of a normal distribution.
Values between the layers then start at 0 again, so that no codes are wasted on the constant part. Equalization makes
this useful, because it scales up biases together with weights.

The next layer must have no padding: at a padded border, fewer taps see the constant part. If the float outputs change
by more than `LEAST_SQNR`, the absorption is reverted.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
import torch

from intaglio.calibrate.data_free.channel_moments import channel_moments
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.evaluation.held_back import Samples
from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.graph.access import Array, constant, input_value, shape, single_consumer
from intaglio.graph.edit import add_constant, set_constant
from intaglio.graph.moments import Moments
from intaglio.graph.operators import facts
from intaglio.graph.unique_names import names_kept, new_value_name, note_names
from intaglio.graph.weights import WeightedProduct, product
from intaglio.ops.clamp import clamp_bounds
from intaglio.plan import Step
from intaglio.plan.step import SQNR
from intaglio.recover.equalization import carry_caps_per_channel
from intaglio.simulate import Simulator

ALGORITHM = "high-bias absorption"
SIGMAS = 3.0
LEAST_SQNR = 20.0
"""Lowest accepted SQNR in dB between the float outputs before and after. The gain is measured after quantization."""


@dataclass(frozen=True)
class Absorbed:
    """Result of `absorb_high_biases`.

    Args:
        graph: the changed graph; the given one if there was nothing to absorb or the outputs changed too much.
        steps: history.
        changed: whether `graph` is a changed graph.
        caps: number of clamps that now need one bound per channel.
        tried: whether there was anything to absorb.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    changed: bool = False
    caps: int = 0
    tried: bool = True


@dataclass(frozen=True)
class _Chain:
    """A layer, the clamps after it, and the layers that read the result."""

    producer: WeightedProduct
    clamps: tuple[ir.Node, ...]
    readers: tuple[WeightedProduct, ...]

    @property
    def values(self) -> tuple[ir.Value, ...]:
        """Values that are shifted: all values between the layers."""
        return (self.producer.node.outputs[0], *(clamp.outputs[0] for clamp in self.clamps))

    @property
    def new_caps(self) -> bool:
        """Whether a single upper bound would have to become one per channel."""
        return any(clamp.op_type == "Clip" and clamp_bounds(clamp)[1] < math.inf for clamp in self.clamps)

    def caps(self) -> Array:
        """Return the upper bound of each channel, (C,)."""
        bound = np.full(self.producer.outputs, math.inf)
        for clamp in self.clamps:
            if clamp.op_type == "Min":
                array = constant(clamp.inputs[1])
                assert array is not None
                bound = np.minimum(bound, array.astype(np.float64).reshape(-1))
            else:
                bound = np.minimum(bound, clamp_bounds(clamp)[1])
        return bound


def absorb_high_biases(
    graph: Graph,
    held_back: Samples,
    *,
    samples: Samples | None = None,
    predicted: Mapping[str, ClippedGaussian] | None = None,
    carry_caps: bool = True,
) -> Absorbed:
    """Absorb high biases into the following layers.

    Args:
        graph: the prepared network; not modified.
        held_back: inputs on which the outputs must not change; noise if there are no data.
        samples: other inputs, for mean and standard deviation of channels.
        predicted: moments of all values, instead of samples (`calibrate.predict`).
        carry_caps: also absorb after a Clip with an upper bound, which then becomes one bound per channel.
    Returns:
        The result. Shifted values get new names, because a name stands for one real tensor.
    """
    made = graph.copy()
    chains = [chain for chain in _chains(made) if carry_caps or not chain.new_caps]
    known = _measured(made, chains, samples) if samples is not None else _expected(chains, predicted or {})
    channels = caps = layers = 0
    with names_kept(made.model.graph):
        for chain in chains:
            name = str(chain.values[0].name)
            if name not in known:
                continue
            shift = np.maximum(known[name].mean - SIGMAS * known[name].std, 0.0)
            shift = np.where(np.isfinite(shift) & (shift < chain.caps()), shift, 0.0)
            if shift.any():
                caps += chain.new_caps
                _apply(made, chain, shift)
                channels, layers = channels + int((shift > 0).sum()), layers + 1
    if not channels:
        return Absorbed(
            graph, [Step(ALGORITHM, f"{ALGORITHM}: no channel has a bias that could be absorbed")], tried=False
        )
    made.model.graph.sort()
    made.verify()
    text = f"{ALGORITHM}: the biases of {channels} channels in {layers} layers moved into the following layers"
    if caps:
        text += f"; {caps} upper bounds are now per channel"
    trial = Trial(graph, held_back)
    sqnr, count = trial.sqnr(made, None), trial.samples
    text += f"; SQNR of the float outputs against those before: {sqnr:.1f} dB on {count} held-back samples"
    kept = sqnr >= LEAST_SQNR
    if not kept:
        return Absorbed(graph, [Step(ALGORITHM, f"{text}; reverted", SQNR, None, sqnr, count, kept)])
    return Absorbed(made, [Step(ALGORITHM, text, SQNR, None, sqnr, count, kept)], True, caps)


def _chains(graph: Graph) -> Iterator[_Chain]:
    for node in graph.nodes:
        found = product(node)
        if found is None or not found.takes_bias or node.outputs[0].is_graph_output():
            continue
        clamps: list[ir.Node] = []
        value = node.outputs[0]
        while (following := single_consumer(value)) is not None and _is_clamp(following, found, first=not clamps):
            clamps.append(following)
            value = following.outputs[0]
        if not clamps or value.is_graph_output():
            continue
        readers = [product(use.node) if use.idx == 0 else None for use in value.uses()]
        legal = [
            r
            for r in readers
            if r is not None and r.takes_bias and r.sees_no_padding and r.node.op_type != "ConvTranspose"
        ]
        if legal and len(legal) == len(readers) and all(shape(value)[r.input_axis] == found.outputs for r in legal):
            yield _Chain(found, tuple(clamps), tuple(legal))


def _is_clamp(node: ir.Node, found: WeightedProduct, *, first: bool) -> bool:
    """Return whether a node is a clamp from 0, or, after such a clamp, an upper bound per channel."""
    if node.domain:
        return False
    if facts(node.op_type).clamps:
        return first and clamp_bounds(node)[0] == 0.0 and clamp_bounds(node)[1] > 0
    bound = constant(input_value(node, 1))
    return (
        not first
        and node.op_type == "Min"
        and len(node.inputs) == 2
        and bound is not None
        and (bound.size == found.outputs)
    )


def _expected(chains: list[_Chain], predicted: Mapping[str, ClippedGaussian]) -> dict[str, Moments]:
    """Return expected moments of the layers' output channels, over positions."""
    names = {str(chain.values[0].name): chain.producer.outputs for chain in chains}
    found = {name: channel_moments(predicted[name], size) for name, size in names.items() if name in predicted}
    return {name: moments for name, moments in found.items() if moments is not None}


def _measured(graph: Graph, chains: list[_Chain], samples: Samples) -> dict[str, Moments]:
    """Measure mean and standard deviation of the layers' output channels on samples."""
    axes = {str(chain.values[0].name): chain.producer.output_axis for chain in chains}
    sums: dict[str, tuple[torch.Tensor, torch.Tensor, float]] = {}

    def observe(name: str, x: torch.Tensor) -> None:
        if name in axes:
            rest = [k for k in range(x.ndim) if k != axes[name] % x.ndim]
            wide, count = x.double(), x.numel() / x.shape[axes[name]]
            total, square, before = sums.get(name, (0.0, 0.0, 0.0))
            sums[name] = wide.sum(rest) + total, wide.square().sum(rest) + square, before + count

    simulator = Simulator(graph)
    with torch.no_grad():
        for feed in samples.feeds(simulator):
            simulator(feed, observe)
    found = {}
    for name, (total, square, count) in sums.items():
        mean = total / count
        std = (square / count - mean.square()).clamp_min(0).sqrt()
        found[name] = Moments(mean.cpu().numpy(), std.cpu().numpy())
    return found


def _apply(graph: Graph, chain: _Chain, shift: Array) -> None:
    inner = graph.model.graph
    _move_bias(inner, chain.producer, -shift)
    for reader in chain.readers:
        _move_bias(inner, reader, reader.apply(shift))
    for value in chain.values:
        recorded = graph.moments.pop(str(value.name), None)
        value.name = new_value_name(inner, f"{value.name}.absorbed")
        note_names(inner, [value])
        if recorded is not None and value is chain.values[0]:
            graph.moments[value.name] = Moments(recorded.mean - shift, recorded.std)
    for clamp in chain.clamps:
        if clamp.op_type == "Min":
            bound = clamp.inputs[1]
            array = constant(bound)
            assert bound is not None and array is not None
            set_constant(bound, (array.astype(np.float64) - shift.reshape(array.shape)).astype(np.float32))
        elif clamp_bounds(clamp)[1] < math.inf:
            carry_caps_per_channel(inner, clamp, clamp_bounds(clamp)[1] - shift, chain.producer.output_axis)


def _move_bias(graph: ir.Graph, found: WeightedProduct, shift: Array) -> None:
    node, old = found.node, input_value(found.node, 2)
    total = shift + (0.0 if found.bias is None else found.bias)
    if old is not None:
        set_constant(old, total.astype(np.float32))
        return
    node.resize_inputs(3)
    node.replace_input_with(2, add_constant(graph, f"{node.name}.bias", total.astype(np.float32)))
