"""Write the root or logarithm of a sum of squares by a norm, so that no grid has to hold the power.

sqrt(a^2 + b^2 + c)  ->  |(a, b, sqrt(c))|          log(a^2 + b^2 + c)  ->  2 log |(a, b, sqrt(c))|

A power of 16 bits cannot tell magnitudes below 1/181 of the largest one apart; a norm sums the squares exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.pattern import equals


def make_magnitudes(graph: Graph) -> list[str]:
    """Replace roots and logarithms of sums of at least two squares of values of one shape."""
    changes = []
    for node in graph.nodes:
        log = node.op_type == "Log"
        if node.graph is None or node.domain or not (log or node.op_type == "Sqrt"):
            continue
        terms = _Terms([], 0.0)
        if not _collect(node.inputs[0], terms) or len(terms.values) < 2:
            continue
        if rank(node.inputs[0]) == 0 or any(shape(value) != shape(node.inputs[0]) for value in terms.values):
            continue  # one is broadcast, or there is no axis behind which they can be stacked
        changes.append(f"{where(node)} of a sum of {len(terms.values)} squares computed from a norm")
        name, inner = str(node.name), graph.model.graph
        made = _norm(inner, node, terms)
        if log:
            made = insert(inner, node, "Log", [made.outputs[0]], name=f"{name}.log")
            two = add_constant(inner, f"{name}.two", np.array(2.0, np.float32))
            made = insert(inner, node, "Mul", [made.outputs[0], two], name=f"{name}.mul")
        replace(node.outputs[0], made.outputs[0])
        remove_unread_before(inner, node)
        rename(made, name)
    return changes


@dataclass
class _Terms:
    """A sum of squares: the values that are squared, and the constants together."""

    values: list[ir.Value]
    constant: float


def _collect(value: ir.Value | None, terms: _Terms) -> bool:
    """Add the terms of a tree of Adds; False where one is neither a square nor one constant number of at least 0."""
    number = constant(value)
    if number is not None:
        if not number.size or not np.all(number == number.flat[0]) or not 0.0 <= float(number.flat[0]) < math.inf:
            return False
        terms.constant += float(number.flat[0])
        return True
    node = value.producer() if value is not None else None
    if node is None or node.domain:
        return False
    if node.op_type == "Pow" and equals(constant(input_value(node, 1)), 2.0, 0.0):
        base = node.inputs[0]
        assert base is not None
        terms.values.append(base)
        return shape(base) == shape(value)
    return node.op_type == "Add" and all(_collect(x, terms) for x in node.inputs)


def _norm(graph: ir.Graph, node: ir.Node, terms: _Terms) -> ir.Node:
    """Stack the values along an axis, perhaps with a constant, and take the norm over it."""
    name = str(node.name)
    source, axis = _stacked(graph, node, terms.values)
    if terms.constant > 0.0:
        amounts = [0] * (2 * rank(source))
        amounts[rank(source) + axis] = 1
        pads = add_constant(graph, f"{name}.pads", np.array(amounts, np.int64))
        root = add_constant(graph, f"{name}.constant", np.array(math.sqrt(terms.constant), np.float32))
        inputs = [source, pads, root]
        source = insert(graph, node, "Pad", inputs, {"mode": "constant"}, name=f"{name}.pad").outputs[0]
    axes = add_constant(graph, f"{name}.axes", np.array([axis], np.int64))
    return insert(graph, node, "ReduceL2", [source, axes], {"keepdims": 0}, name=f"{name}.norm")


def _stacked(graph: ir.Graph, node: ir.Node, values: Sequence[ir.Value]) -> tuple[ir.Value, int]:
    """Stack values of one shape along a new axis: (..., len(values), ...).

    Neighbouring slices of one value, in any order, are already behind one another: they are a Reshape of it.
    """
    spans = [_span(value) for value in values]
    first, sizes = spans[0], shape(values[0])
    if first is not None and all(s is not None and (s.source, s.axis) == (first.source, first.axis) for s in spans):
        source, axis = first.source, first.axis
        width = first.stop - first.start
        starts = sorted(s.start for s in spans if s is not None)
        side_by_side = starts == list(range(starts[0], starts[0] + width * len(values), width))
        if side_by_side and all(s is not None and s.stop - s.start == width for s in spans):
            stop = starts[0] + width * len(values)
            if (starts[0], stop) != (0, shape(source)[axis]):
                source = _slice(graph, node, source, axis, starts[0], stop)
            whole = list(shape(source))
            kept = [] if len(sizes) < len(whole) else [width]
            return _reshape(graph, node, source, [*whole[:axis], len(values), *kept, *whole[axis + 1 :]]), axis
    parts = [_reshape(graph, node, value, [sizes[0], 1, *sizes[1:]]) for value in values]
    return insert(graph, node, "Concat", parts, {"axis": 1}, name=f"{node.name}.stacked").outputs[0], 1


@dataclass(frozen=True)
class _Span:
    """Positions `start` to `stop` of an axis of a value; of one position, perhaps without the axis."""

    source: ir.Value
    axis: int
    start: int
    stop: int


def _span(value: ir.Value) -> _Span | None:
    """Read a Slice with step 1 of an axis behind the batch, an output of Split, or a Reshape of it without the axis."""
    node = value.producer()
    if node is None or node.domain or node.inputs[0] is None:
        return None
    source = node.inputs[0]
    if node.op_type == "Reshape":
        span = _span(source)
        if span is None or span.stop - span.start != 1:
            return None
        sizes = shape(source)
        return span if shape(value) == (*sizes[: span.axis], *sizes[span.axis + 1 :]) else None
    if node.op_type == "Split":
        axis = int(attribute(node, "axis", 0)) % rank(source)
        start = sum(shape(output)[axis] for output in node.outputs[: list(node.outputs).index(value)])
        return _Span(source, axis, start, start + shape(value)[axis]) if axis > 0 else None
    if node.op_type != "Slice":
        return None
    starts, axes, steps = (constant(input_value(node, index)) for index in (1, 3, 4))
    if starts is None or axes is None or axes.size != 1 or (steps is not None and steps.tolist() != [1]):
        return None
    axis = int(axes[0]) % rank(source)
    size = shape(source)[axis]
    start = min(max(int(starts[0]) + (size if starts[0] < 0 else 0), 0), size)
    return _Span(source, axis, start, start + shape(value)[axis]) if axis > 0 else None


def _slice(graph: ir.Graph, node: ir.Node, source: ir.Value, axis: int, start: int, stop: int) -> ir.Value:
    bounds = (("starts", start), ("ends", stop), ("axes", axis), ("steps", 1))
    given = [add_constant(graph, f"{node.name}.{role}", np.array([n], np.int64)) for role, n in bounds]
    return insert(graph, node, "Slice", [source, *given], name=f"{node.name}.slice").outputs[0]


def _reshape(graph: ir.Graph, node: ir.Node, source: ir.Value, sizes: Sequence[int]) -> ir.Value:
    target = [0, *sizes[1:]] if shape(source)[0] == sizes[0] else list(sizes)  # 0: also of a batch that is open
    wanted = add_constant(graph, f"{node.name}.shape", np.array(target, np.int64))
    return insert(graph, node, "Reshape", [source, wanted], name=f"{node.name}.reshape").outputs[0]
