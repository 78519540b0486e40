"""Attention masks that scores outweigh.

A network that adds -100 to some scores does not leave them out where its scores differ by more. The grid of the scores,
[low, high], says how far they can differ in the program:

    Add(scores, c)            masks if  c + high - low <= -16
    Where(keep, scores, c)    masks if  c - low <= -16

Then the share of a masked position is at most exp(-16) = 1e-7 of the largest.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import where
from intaglio.graph.attention_masks import keep_as_sum, mask_of, number_of, scores_of
from intaglio.plan import Plan

MARGIN = 16.0


def weak_masks(graph: Graph, plan: Plan) -> dict[str, str]:
    """Find the masks that scores outweigh: the name of the node, and a sentence.

    Args:
        graph: a Graph whose masks are in normal form (`graph.attention_masks`).
        plan: its Plan, calibrated.
    """
    found = {}
    for node, number in _small(graph):
        params = plan.params(str(scores_of(node).name))
        if params is None:
            continue
        low, high = (float(bound) for bound in params.range)
        if number + (high if node.op_type == "Add" else 0.0) - low > -MARGIN:
            found[str(node.name)] = (
                f"{where(node)} is no mask: scores in [{low:.4g}, {high:.4g}] can outweigh its {number:g}"
            )
    return found


def masks_as_sums(graph: Graph, plan: Plan) -> list[str]:
    """Find the masks of a Graph that are none in a given Plan, as an earlier calibration found them too weak."""
    names = {str(node.name): str(node.outputs[0].name) for node, _ in _small(graph)}
    return [name for name, value in names.items() if value in plan.values and plan.params(value) is not None]


def without_masks(graph: Graph, names: Collection[str]) -> Graph:
    """Copy a Graph in which some nodes are no masks, though they have the form of one."""
    result = graph.copy()
    for node in result.nodes:
        if str(node.name) in names:
            keep_as_sum(node)
    return result


def _small(graph: Graph) -> list[tuple[ir.Node, float]]:
    """List the masks whose numbers scores may outweigh."""
    masks = [node for node in graph.nodes if mask_of(node) is not None]
    return [(node, number) for node in masks if (number := number_of(node)) is not None]
