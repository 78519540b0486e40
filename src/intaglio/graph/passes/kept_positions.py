"""Booleans that say which positions a computed mask keeps: how they are combined, negated and moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, shape
from intaglio.graph.edit import add_constant, insert
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts


@dataclass(frozen=True)
class Keep:
    """The booleans of a mask, which are not in the graph yet.

    Attributes:
        put: inserts, before a node, what computes them.
        level: the number that the mask adds where it keeps; where it does not, it adds at least 1000 less.
        integers: whether they are right only where integers that the mask reads are 0 or 1.
    """

    put: Callable[[ir.Node], ir.Value]
    level: float = 0.0
    integers: bool = False


def constant_of(graph: Graph, kept: Array) -> Keep:
    """Keep the same positions always."""
    return Keep(lambda before: add_constant(graph.model.graph, f"{before.name}.kept", kept))


def itself(value: ir.Value) -> Keep:
    """Keep where a boolean value of the graph is true."""
    return Keep(lambda before: value)


def negated(graph: Graph, keep: Keep) -> Keep:
    """Keep what another mask leaves out."""

    def put(before: ir.Node) -> ir.Value:
        value = keep.put(before)
        array = constant(value)
        if array is not None:
            return add_constant(graph.model.graph, f"{before.name}.kept", ~array)
        return insert(graph.model.graph, before, "Not", [value], name=f"{before.name}.not").outputs[0]

    return replace(keep, put=put)


def both(graph: Graph, one: Keep | None, other: Keep | None) -> Keep | None:
    """Keep what two masks keep, which are added; None where one of them is none."""
    if one is None or other is None:
        return None

    def put(before: ir.Node) -> ir.Value:
        inputs = [one.put(before), other.put(before)]
        return insert(graph.model.graph, before, "And", inputs, name=f"{before.name}.and").outputs[0]

    return Keep(put, one.level + other.level, one.integers or other.integers)


def moves(node: ir.Node) -> bool:
    """Tell whether a node does nothing but move the elements of its one computed operand; a Pad adds others."""
    held = all(value is None or constant(value) is not None for value in node.inputs[1:])
    return facts(node.op_type).moves and node.op_type != "Pad" and held and len(node.outputs) == 1


def moved(graph: Graph, move: ir.Node, keep: Keep) -> Keep:
    """Move booleans as a node moves the mask that they stand for, in the shape of that mask."""

    def put(before: ir.Node) -> ir.Value:
        inner = graph.model.graph
        held = [constant(value) for value in move.inputs[1:]]
        rest = [None if a is None else add_constant(inner, f"{before.name}.moved", a) for a in held]
        attributes = {name: attribute(move, name) for name in move.attributes}
        source = _in_shape(graph, keep.put(before), shape(move.inputs[0]), before)
        return insert(inner, before, move.op_type, [source, *rest], attributes, name=f"{before.name}.moved").outputs[0]

    return replace(keep, put=put)


def _in_shape(graph: Graph, value: ir.Value, wanted: tuple[int, ...], before: ir.Node) -> ir.Value:
    """Expand booleans to the shape of their mask, which another operand of it may have given it."""
    if shape(value) == wanted:
        return value
    inner = graph.model.graph
    sizes = add_constant(inner, f"{before.name}.sizes", np.array(wanted, np.int64))
    return insert(inner, before, "Expand", [value, sizes], name=f"{before.name}.expand").outputs[0]
