"""Bring the graph to one layout, so that Transposes from channels-last frameworks cancel.

Connected nodes that work in any order of axes (`graph.permute`) form a region. For each region the orders that a
Transpose at its border suggests are compared: all nodes inside change to the new order, their constants are permuted,
and Transposes are needed only where the region meets a value that keeps its own order. The cheapest order is taken, if
it is cheaper than the present one: fewer elements moved, then fewer Transposes, then Transposes nearer to the network's
inputs and outputs. This order is strict, so the pass ends.

Values inside keep their names; they hold the same numbers in the new order of axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx_ir as ir

from intaglio.graph.access import attribute, consumers, rank, shape, where
from intaglio.graph.edit import bypass, can_bypass, insert, remove, remove_unread, rename
from intaglio.graph.graph import Graph
from intaglio.graph.passes.absorb_transposes import is_absorbed
from intaglio.graph.permute import PERMUTE, Perm, can_permute, compose, inverse, is_identity, moves_nothing
from intaglio.graph.unique_names import new_node_name, new_value_name, note_names

Cost = tuple[int, int, int]

# Each change makes the graph cheaper, so this limit is never reached; it guards against an endless loop.
_MOST_SWEEPS = 1000


def one_layout(graph: Graph) -> list[str]:
    """Choose the cheapest order of axes for every region, until no region becomes cheaper."""
    changes: list[str] = []
    inner = graph.model.graph
    for _ in range(_MOST_SWEEPS):
        found = [change for nodes in _regions(inner) if (change := _improve(inner, nodes)) is not None]
        if not found:
            break
        changes += found
        remove_unread(inner)
        inner.sort()
    return changes


@dataclass
class _Region:
    """Connected nodes of one rank.

    Attributes:
        nodes: in topological order.
        entries: computed values from outside that they read.
        exits: values that they compute and that are read outside or are outputs of the graph.
    """

    nodes: list[ir.Node]
    entries: list[ir.Value]
    exits: list[ir.Value]

    @cached_property
    def members(self) -> frozenset[ir.Node]:
        """The nodes as a set."""
        return frozenset(self.nodes)

    def transpose_of(self, entry: ir.Value) -> ir.Node | None:
        """Find the Transpose that an entry comes from, unless it transposes a result of the region itself."""
        node = _transpose_of(entry)
        source = None if node is None else node.inputs[0]
        return None if source is None or source.producer() in self.members else node

    def candidates(self) -> list[Perm]:
        """List the orders of axes that would cancel a Transpose at the border."""
        found: dict[Perm, None] = {}
        for value in self.entries:
            node = self.transpose_of(value)
            if node is not None:
                found[inverse(attribute(node, "perm"))] = None
        for value in self.exits:
            for node in _users_outside(value, self.members):
                if node.op_type == "Transpose":
                    found[tuple(attribute(node, "perm"))] = None
        return [perm for perm in found if not is_identity(perm)]


def _transpose_of(value: ir.Value) -> ir.Node | None:
    node = value.producer()
    return node if node is not None and node.op_type == "Transpose" and not node.domain else None


def _users_outside(value: ir.Value, inside: Set[ir.Node]) -> list[ir.Node]:
    return [node for node in dict.fromkeys(use.node for use in value.uses()) if node not in inside]


def _regions(graph: ir.Graph) -> Iterator[list[ir.Node]]:
    """Collect connected nodes that can work in any order of axes, in topological order."""
    flexible = {node: index for index, node in enumerate(graph) if can_permute(node)}
    seen: set[ir.Node] = set()
    for start in flexible:
        if start in seen:
            continue
        members, stack = {start}, [start]
        while stack:
            node = stack.pop()
            around = [value.producer() for value in node.inputs if value is not None]
            around += [use.node for output in node.outputs for use in output.uses()]
            for other in around:
                if other in flexible and other not in members and rank(other.outputs[0]) == rank(node.outputs[0]):
                    assert other is not None
                    members.add(other)
                    stack.append(other)
        seen |= members
        yield sorted(members, key=lambda node: flexible[node])


def _region(nodes: list[ir.Node]) -> _Region:
    """Find the border of a region as it is now: its neighbours may have changed since the nodes were collected."""
    made = {output: None for node in nodes for output in node.outputs}
    read = {v: None for node in nodes for v in node.inputs if v is not None and not v.is_initializer()}
    full = rank(nodes[0].outputs[0])
    entries = [value for value in read if value not in made and rank(value) == full]
    inside = set(nodes)
    exits = [value for value in made if value.is_graph_output() or _users_outside(value, inside)]
    return _Region(nodes, entries, exits)


def _improve(graph: ir.Graph, nodes: list[ir.Node]) -> str | None:
    region = _region(nodes)
    best: tuple[Cost, Perm] | None = None
    current = _cost(region, None)
    for perm in region.candidates():
        cost = _cost(region, perm)
        if cost < current and (best is None or cost < best[0]):
            best = cost, perm
    if best is None:
        return None
    _apply(graph, region, best[1])
    others = f" and {len(nodes) - 1} more nodes" if len(nodes) > 1 else ""
    return f"{where(nodes[0])}{others} work in the order of axes {best[1]}, so that Transposes cancel"


def _cost(region: _Region, perm: Perm | None) -> Cost:
    """Compute the cost of Transposes at a region's border, as it is (None) or in another order of axes."""
    costs = [cost for value in region.entries for cost in _entry_costs(region, value, perm)]
    costs += [cost for value in region.exits for cost in _exit_costs(region, value, perm)]
    elements, nodes, inner = (sum(column) for column in zip((0, 0, 0), *costs, strict=True))
    return elements, nodes, inner


def _entry_costs(region: _Region, value: ir.Value, perm: Perm | None) -> Iterator[Cost]:
    order = tuple(range(rank(value))) if perm is None else perm
    node = region.transpose_of(value)
    if node is None:
        producer = value.producer()
        free = producer is not None and producer.op_type == "Reshape" and moves_nothing(order, shape(value))
        if not free:
            yield _one(shape(value), order, value.is_graph_input())
        return
    source = node.inputs[0]
    assert source is not None
    yield _one(shape(source), compose(attribute(node, "perm"), order), source.is_graph_input())
    if value.is_graph_output() or _users_outside(value, region.members):
        yield _one(shape(source), attribute(node, "perm"), source.is_graph_input() or value.is_graph_output())


def _exit_costs(region: _Region, value: ir.Value, perm: Perm | None) -> Iterator[Cost]:
    order = tuple(range(rank(value))) if perm is None else perm
    back = inverse(order)
    sizes = tuple(shape(value)[axis] for axis in order)
    needed: dict[Perm, bool] = {back: True} if value.is_graph_output() else {}
    for node in _users_outside(value, region.members):
        if node.op_type == "Transpose":
            own = compose(back, attribute(node, "perm"))
            turned = node.outputs[0]
            readers = consumers(turned)
            if readers and not turned.is_graph_output() and all(is_absorbed(r, turned, own, sizes) for r in readers):
                continue  # it will be removed there
            needed[own] = needed.get(own, False) or node.outputs[0].is_graph_output()
        elif not is_absorbed(node, value, back, sizes):
            needed.setdefault(back, False)
    for wanted, at_end in needed.items():
        yield _one(sizes, wanted, at_end)


def _one(sizes: tuple[int, ...], perm: Perm, at_end: bool) -> Cost:
    """Compute the cost of a Transpose of a value of these sizes; at_end: next to an input or output of the network."""
    if is_identity(perm):
        return 0, 0, 0
    return 0 if moves_nothing(perm, sizes) else math.prod(sizes), 1, 0 if at_end else 1


def _apply(graph: ir.Graph, region: _Region, perm: Perm) -> None:
    back = inverse(perm)
    inside = set(region.nodes)
    # One entry may be the Transpose of another, so all readers are found before anything is reconnected.
    reads = {value: [use for use in value.uses() if use.node in inside] for value in region.entries}
    for value, users in reads.items():
        node = region.transpose_of(value)
        source, needed = value, perm
        if node is not None:
            assert node.inputs[0] is not None
            source, needed = node.inputs[0], compose(attribute(node, "perm"), perm)
        if not is_identity(needed):
            first = min((use.node for use in users), key=region.nodes.index)
            source = insert(
                graph, first, "Transpose", [source], {"perm": needed}, name=f"{value.name}.in_order"
            ).outputs[0]
        for use in users:
            use.node.replace_input_with(use.idx, source)
        if node is not None and not value.uses() and not value.is_graph_output():
            remove(graph, node)
    outside = {value: [use for use in value.uses() if use.node not in inside] for value in region.exits}
    for node in region.nodes:
        changed = PERMUTE[node.op_type](graph, node, perm)
        assert changed
        for output in node.outputs:
            sizes = shape(output)
            output.shape = ir.Shape([sizes[axis] for axis in perm])
    for value in region.exits:
        _turn_back(graph, value, back, outside[value])


def _turn_back(graph: ir.Graph, value: ir.Value, back: Perm, uses: list[Any]) -> None:
    """Give the readers outside a region the order of axes that they had."""
    producer = value.producer()
    assert producer is not None
    turned: ir.Value | None = None
    was_output = value.is_graph_output()  # it may become one below, in its new order, when a Transpose is removed
    for use in uses:
        if use.node.op_type == "Transpose":
            perm = compose(back, attribute(use.node, "perm"))
            use.node.attributes["perm"] = ir.AttrInt64s("perm", perm)
            if is_identity(perm) and can_bypass(use.node):
                bypass(graph, use.node)
        else:
            turned = turned or _transposed(graph, producer, value, back)
            use.node.replace_input_with(use.idx, turned)
    if was_output:
        turned = turned or _transposed(graph, producer, value, back)
        name = str(value.name)
        for index, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[index] = turned
        rename(value, new_value_name(graph, f"{name}.in_order"))
        rename(turned, name)


def _transposed(graph: ir.Graph, producer: ir.Node, value: ir.Value, perm: Perm) -> ir.Value:
    """Insert a Transpose right after the node that computes a value."""
    node = ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", perm)], num_outputs=1)
    node.name = new_node_name(graph, f"{value.name}.in_order_back")
    output = node.outputs[0]
    output.name = new_value_name(graph, node.name)
    sizes = shape(value)
    output.shape, output.type = ir.Shape([sizes[axis] for axis in perm]), value.type
    graph.insert_after(producer, node)
    note_names(graph, [node, output])
    return output
