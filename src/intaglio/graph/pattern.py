"""Find small expressions in a graph, which are written as data.

    x = Var("x")
    SWISH = Op("Mul", x, Op("Sigmoid", x))

`find(SWISH, value)` tells whether `value` is computed this way. The two operands of a commutative
operator match in either order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, shape
from intaglio.graph.operators import facts


@dataclass(frozen=True)
class Var:
    """Any value; wherever the same name stands, it must be the same value."""

    name: str


@dataclass(frozen=True)
class Number:
    """A constant whose elements all equal `value`, within float32's rounding of what tools write."""

    value: float
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Constant:
    """Any constant array."""

    name: str


class Op:
    """A node of one of the given types ("Add|Sub"), whose first inputs match and whose attributes are as given."""

    def __init__(self, op_types: str, *inputs: Pattern, name: str = "", **attributes: object) -> None:
        self.op_types = tuple(op_types.split("|"))
        self.inputs = inputs
        self.name = name
        self.attributes = attributes


Pattern = Var | Number | Constant | Op


@dataclass(frozen=True)
class Match:
    """What a pattern found: values and constants by name, and the nodes that it covers, the last one first."""

    values: Mapping[str, ir.Value] = field(default_factory=dict)
    nodes: tuple[ir.Node, ...] = ()
    named: Mapping[str, ir.Node] = field(default_factory=dict)

    def value(self, name: str) -> ir.Value:
        """Get the value bound to a `Var` or `Constant`."""
        return self.values[name]

    def array(self, name: str) -> Array:
        """Get the array bound to a `Constant`."""
        found = constant(self.values[name])
        assert found is not None
        return found


def find(pattern: Op, root: ir.Node) -> Match | None:
    """Match the only output of `root` against a pattern; None where it does not match.

    Every node inside must serve this result only: one that is also read elsewhere could not be removed. Of several
    matches the first is returned.
    """
    if len(root.outputs) != 1:
        return None
    for match in _match(pattern, root.outputs[0], Match()):
        inside = set(match.nodes)
        private = (
            all(use.node in inside for use in output.uses()) and not output.is_graph_output()
            for node in match.nodes
            if node is not root
            for output in node.outputs
        )
        if all(private):
            return match
    return None


def _match(pattern: Pattern, value: ir.Value | None, found: Match) -> Iterator[Match]:
    if value is None:
        return
    if isinstance(pattern, Var):
        if found.values.get(pattern.name, value) is value and not value.is_initializer():
            yield Match({**found.values, pattern.name: value}, found.nodes, found.named)
    elif isinstance(pattern, Constant):
        if value.is_initializer() and found.values.get(pattern.name, value) is value:
            yield Match({**found.values, pattern.name: value}, found.nodes, found.named)
    elif isinstance(pattern, Number):
        if equals(constant(value), pattern.value, pattern.tolerance):
            yield found
    else:
        yield from _match_op(pattern, value, found)


def _match_op(pattern: Op, value: ir.Value, found: Match) -> Iterator[Match]:
    node = value.producer()
    if node is None or node.domain or node.op_type not in pattern.op_types or len(node.inputs) < len(pattern.inputs):
        return
    if any(attribute(node, key) != expected for key, expected in pattern.attributes.items()):
        return
    named = {**found.named, pattern.name: node} if pattern.name else found.named
    covered = found if node in found.nodes else Match(found.values, (*found.nodes, node), named)
    given = list(node.inputs[: len(pattern.inputs)])
    yield from _match_inputs(pattern.inputs, given, covered)
    if facts(node.op_type).commutative and len(given) == 2:
        yield from _match_inputs(pattern.inputs, given[::-1], covered)


def _match_inputs(patterns: tuple[Pattern, ...], values: list[ir.Value | None], found: Match) -> Iterator[Match]:
    if not patterns:
        yield found
        return
    for match in _match(patterns[0], values[0], found):
        yield from _match_inputs(patterns[1:], values[1:], match)


def equals(array: Array | None, value: float, tolerance: float = 1e-5) -> bool:
    """Tell whether every element of a constant is this number, up to a relative tolerance."""
    if array is None or array.size == 0 or array.dtype.kind not in "fiu":
        return False
    return bool(np.all(np.abs(array.astype(np.float64) - value) <= tolerance * max(abs(value), 1e-30)))


def keeps_shape(node: ir.Node, source: ir.Value) -> bool:
    """Tell whether a node's result has the shape of one of its inputs: broadcasting enlarged nothing."""
    return shape(node.outputs[0]) == shape(source)
