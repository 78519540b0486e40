"""Merge remaining per-channel scales and shifts into one BatchNormalization each.

Products absorb such a step where they can (`fold_affine`). Elsewhere, as between an addition and a Relu, Mul and Add
would be two operators, with a value between them that has to be quantized; together they are one:

    y = scale * x + shift = BatchNormalization(x; scale, shift, mean 0, variance 1, epsilon 0)
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import constant, rank, shape, single_consumer, where
from intaglio.graph.edit import add_constant, insert, remove, replace
from intaglio.graph.graph import Graph
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.passes.fold_affine import Affine, affine


def make_batchnorm(graph: Graph) -> list[str]:
    """Merge pairs of per-channel steps (Mul, Add, BatchNormalization) into one BatchNormalization."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        while node.graph is not None and (following := _next(node)) is not None:
            first, second = affine(node, 1), affine(following, 1)
            assert first is not None
            assert second is not None
            merged = Affine(first.scale * second.scale, first.shift * second.scale + second.shift)
            changes.append(f"{where(node)} and {where(following)} are one BatchNormalization")
            node = _write(inner, node, following, merged)
    return changes


def _next(node: ir.Node) -> ir.Node | None:
    """Find the per-channel step that alone reads this one, if at least one of both varies by channel."""
    following = single_consumer(node.outputs[0]) if len(node.outputs) == 1 else None
    if following is None or following.inputs[0] is not node.outputs[0] or rank(following.outputs[0]) < 2:
        return None
    if affine(node, 1) is None or affine(following, 1) is None:
        return None
    kinds = {node.op_type, following.op_type}
    if "BatchNormalization" not in kinds:
        sizes = [array.size for step in (node, following) if (array := constant(step.inputs[1])) is not None]
        if kinds != AFFINE or max(sizes) == 1:
            return None
    return following


def _write(graph: ir.Graph, node: ir.Node, following: ir.Node, step: Affine) -> ir.Node:
    name, source = str(node.name), node.inputs[0]
    channels = shape(source)[1]
    arrays = (
        ("scale", step.scale),
        ("bias", step.shift),
        ("mean", np.zeros(channels)),
        ("var", np.ones(channels)),
    )
    constants = [add_constant(graph, f"{name}.{role}", array.astype(np.float32)) for role, array in arrays]
    merged = insert(
        graph, following, "BatchNormalization", [source, *constants], {"epsilon": 0.0}, name=f"{name}.affine"
    )
    replace(following.outputs[0], merged.outputs[0])
    remove(graph, following, node)
    return merged
