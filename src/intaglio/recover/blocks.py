"""Cut a network into blocks: consecutive nodes that are reconstructed together.

A block ends where only one value is alive: after a residual connection, after a layer without an activation (the end of
an inverted residual), or when it has enough layers. If there is no such place for long, it ends before a layer anyway.
An activation always stays with the layer before it.

Source: Li et al. 2021, arXiv:2102.05426, section 3.2 (blocks as the unit of reconstruction).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import onnx_ir as ir

from intaglio.evaluation.trial import watched_values
from intaglio.graph import Graph
from intaglio.graph.access import consumers
from intaglio.graph.operators import facts
from intaglio.recover.im2col import LAYERS

MOST_LAYERS = 4
"""Layers after which a block ends at the next place where one value is alive."""
_AT_ANY_PLACE = 8
"""Layers after which a block ends even if several values are alive."""


@dataclass(frozen=True)
class Block:
    """Nodes `start` to `stop - 1` of a Graph.

    Args:
        start, stop: positions in the order of the nodes.
        live_after: values alive after the block: computed in it or before it, and read after it.
        outputs: values computed in the block that are read after it, or are outputs of the network.
    """

    start: int
    stop: int
    live_after: tuple[str, ...]
    outputs: tuple[str, ...]


def blocks(graph: Graph, layers: Collection[str], most_layers: int = MOST_LAYERS) -> list[Block]:
    """Cut a network into blocks.

    Args:
        graph: the prepared network.
        layers: names of nodes with weights to learn.
        most_layers: layers after which a block ends at the next place where one value is alive.
    Returns:
        Consecutive blocks that cover all nodes.
    """
    nodes = graph.nodes
    live = _live(graph)
    edges = [0]
    count = since_single = 0  # layers in the block, and those since the last place where one value is alive
    begun = False
    for i, node in enumerate(nodes):
        if str(node.name) not in layers:
            continue
        single = len(live[i]) == 1
        joined = since_single > 1 and single
        if (
            begun
            and count
            and (
                (single and (joined or count >= most_layers or _is_linear(nodes, live[i][0]))) or count >= _AT_ANY_PLACE
            )
        ):
            edges.append(i)
            count = 0
        if single:
            since_single = 0
        since_single += 1
        count += 1
        begun = True
    edges.append(len(nodes))
    watched = set(watched_values(graph))
    found = []
    for start, stop in pairwise(edges):
        later = watched | set(live[stop])
        made = [str(v.name) for node in nodes[start:stop] for v in node.outputs if v.name]
        found.append(Block(start, stop, live[stop], tuple(name for name in made if name in later)))
    return found


def _live(graph: Graph) -> list[tuple[str, ...]]:
    """Return the live values at each position: computed before it, read at it or later."""
    read: dict[str, int] = {}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            if value is not None and not value.is_initializer():
                read[str(value.name)] = i
    values = [str(v.name) for v in graph.inputs]
    result = [tuple(name for name in values if name in read)]
    for i, node in enumerate(graph.nodes):
        values = [name for name in (*values, *(str(v.name) for v in node.outputs)) if read.get(name, -1) > i]
        result.append(tuple(values))
    return result


def _is_linear(nodes: list[ir.Node], name: str) -> bool:
    """Return whether a value is the direct result of a layer or a sum, without an activation."""
    for node in nodes:
        if any(v.name == name for v in node.outputs):
            return node.op_type in (*LAYERS, "Add")
    return False


def caps_behind(node: ir.Node, fused: Collection[str]) -> list[ir.Node]:
    """Return the chain of clamps after a layer, each the only reader of the value before it.

    Args:
        node: the layer.
        fused: names of the clamps fused into its saturation; Min and Max belong to the chain too.
    """
    found: list[ir.Node] = []
    while True:
        users = consumers(node.outputs[0])
        if len(users) != 1 or node.outputs[0].is_graph_output():
            return found
        node = users[0]
        if str(node.name) not in fused and not facts(node.op_type).extremum:
            return found
        found.append(node)
