"""Channel groups: values whose channels can be scaled together without changing the network's function.

Every product that writes a group divides its output channels by s, every product that reads it multiplies its input
channels by s, and all operators between are positively homogeneous by channel: `f(x / s) = f(x) / s`, s > 0. An upper
bound has to be divided too: `min(x, c) / s = min(x / s, c / s)`.

All branches of a residual connection are in one group. A depthwise convolution reads one group and writes another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import Array, attribute, constant, consumers, input_value, rank, shape
from intaglio.graph.operators import facts
from intaglio.graph.passes.fold_affine import along_axis
from intaglio.graph.weights import WeightedProduct, product
from intaglio.ops.clamp import clamp_bounds


@dataclass
class ChannelGroup:
    """Values that share a scale per channel.

    Args:
        channels: number of channels.
        values: the values of the group, with channel axis and number of consecutive elements on it per channel.
        producers: products that write the channels.
        readers: products that read the channels, with number of consecutive input elements per channel.
        caps: Clip nodes from 0 to a finite bound.
        shifts: constants that are added by channel.
    """

    channels: int
    values: dict[ir.Value, tuple[int, int]] = field(default_factory=dict)
    producers: list[WeightedProduct] = field(default_factory=list)
    readers: list[tuple[WeightedProduct, int]] = field(default_factory=list)
    caps: list[ir.Node] = field(default_factory=list)
    shifts: list[ir.Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the first product that writes the group."""
        return str(self.producers[0].node.name)


def channel_groups(graph: Graph) -> list[ChannelGroup]:
    """Find all groups that may be scaled, in the order of the network.

    A group is left out if it contains a network input or output, or touches an operator that is not homogeneous or
    mixes channels without a constant weight.
    """
    seen: set[ir.Value] = set()
    groups = []
    for node in graph.nodes:
        found = product(node)
        if found is None or node.outputs[0] in seen:
            continue
        group = ChannelGroup(found.outputs)
        legal = _collect(group, node.outputs[0], found.output_axis)
        seen.update(group.values)
        if legal and group.producers and group.readers:
            groups.append(group)
    return groups


def _collect(group: ChannelGroup, start: ir.Value, axis: int) -> bool:
    """Collect all values connected to a value; return whether all of them may be scaled."""
    legal = True
    waiting = [(start, axis, 1)]
    passed: set[ir.Node] = set()
    while waiting:
        value, axis, repeat = waiting.pop()
        if value in group.values:
            legal &= group.values[value] == (axis, repeat)
            continue
        group.values[value] = axis, repeat
        if value.is_graph_input() or value.is_graph_output() or shape(value)[axis] != group.channels * repeat:
            legal = False
        source = value.producer()
        for node in [*consumers(value), *([] if source is None else [source])]:
            if node in passed:
                continue
            found = product(node)
            if found is not None:
                legal &= _join_product(group, found, value, axis, repeat)
                continue
            passed.add(node)
            following = _through(group, node, value, axis, repeat)
            legal &= following is not None
            waiting += following or []
    return legal


def _join_product(group: ChannelGroup, found: WeightedProduct, value: ir.Value, axis: int, repeat: int) -> bool:
    """Add a product that writes or reads a value to the group; return whether it may be scaled there."""
    if found.node.outputs[0] is value:
        group.producers.append(found)
        return axis == found.output_axis and repeat == 1
    group.readers.append((found, repeat))
    return [v is value for v in found.node.inputs].count(True) == 1 and axis == found.input_axis


def _through(
    group: ChannelGroup, node: ir.Node, value: ir.Value, axis: int, repeat: int
) -> list[tuple[ir.Value, int, int]] | None:
    """Return the values of a node that scale together with one of them; None if the node forbids scaling."""
    if node.domain or len(node.outputs) != 1:
        return None
    result, source, kind = node.outputs[0], node.inputs[0], node.op_type
    assert source is not None
    if kind == "Add":
        return _through_add(group, node, axis, repeat)
    row = facts(kind)
    if (row.elementwise and row.homogeneous) or (kind == "Clip" and clamp_bounds(node)[0] in (0.0, -math.inf)):
        if kind == "PRelu" and constant(node.inputs[1]) is None:
            return None
        if kind == "Clip" and clamp_bounds(node)[1] != math.inf:
            if clamp_bounds(node)[1] <= 0 or repeat != 1:
                return None
            group.caps.append(node)
        return [(source, axis, repeat), (result, axis, repeat)]
    if (
        (row.by_channel and row.homogeneous)
        or (kind == "ReduceMean" and _spatial_axes(node, 1))
        or (kind == "Squeeze" and _spatial_axes(node, 1))
    ):
        return [(source, axis, repeat), (result, axis, repeat)] if axis == 1 else None
    if kind == "Pad" and axis == 1:
        pads = constant(input_value(node, 1))
        filled = constant(input_value(node, 2))
        zero = attribute(node, "mode", "constant") != "constant" or filled is None or not filled.any()
        still = input_value(node, 3) is None and pads is not None and not any(pads.reshape(2, -1)[:, 1])
        return [(source, axis, repeat), (result, axis, repeat)] if zero and still else None
    if kind == "Slice" and axis == 1 and _spatial_axes(node, 3):
        return [(source, axis, repeat), (result, axis, repeat)]
    if facts(kind).reshapes and axis == 1:
        return _through_reshape(group, source, result)
    return None


def _through_add(group: ChannelGroup, node: ir.Node, axis: int, repeat: int) -> list[tuple[ir.Value, int, int]] | None:
    result = node.outputs[0]
    reached = [(result, axis, repeat)]
    for operand in node.inputs:
        array = constant(operand)
        assert operand is not None
        if array is None:
            if shape(operand) != shape(result):
                return None
            reached.append((operand, axis, repeat))
        elif repeat == 1 and array.size and along_axis(array, rank(result), axis, group.channels) is not None:
            group.shifts.append(operand)
        else:
            return None
    return reached


def _through_reshape(group: ChannelGroup, source: ir.Value, result: ir.Value) -> list[tuple[ir.Value, int, int]] | None:
    """Pass a reshape (N, C, ...) to (N, C * rest) or back, where a channel stays consecutive on axis 1."""
    reached = []
    for value in (source, result):
        size = shape(value)
        if len(size) < 2 or size[0] != shape(source)[0] or size[1] % group.channels:
            return None
        reached.append((value, 1, size[1] // group.channels))
    return reached


def _spatial_axes(node: ir.Node, index: int) -> bool:
    """Return whether all axes named by an input are spatial (2 or higher)."""
    axes = constant(input_value(node, index))
    full = rank(node.inputs[0])
    return axes is not None and axes.size > 0 and all(int(a) % full >= 2 for a in axes.reshape(-1))


def magnitudes(found: WeightedProduct) -> Array:
    """Return the largest |weight| by group, output and input channel of a product: float64, (G, O / G, I / G)."""
    weight = np.abs(found.weight.astype(np.float64))
    groups = int(attribute(found.node, "group", 1))
    if found.node.op_type == "Conv":
        return np.asarray(weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).max(axis=3))
    if found.node.op_type == "ConvTranspose":
        split = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return np.asarray(split.max(axis=3).transpose(0, 2, 1))
    rows = found.node.op_type == "Gemm" and attribute(found.node, "transB", 0)
    return np.asarray(weight if rows else weight.T)[None]
