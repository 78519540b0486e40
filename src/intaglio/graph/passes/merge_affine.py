"""Merge chains of Mul and Add by constants into at most one Mul and one Add.

    (x * a) * b = x * (a b)      (x + a) + b = x + (a + b)      (x + a) * b = x * b + a b

Constants may be numbers, per channel or of any broadcast shape, as long as the merged one is not larger than the
larger of the two: two vectors must not become an image. A BatchNormalization that no pass folds stays one node.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, constant, input_value, single_consumer, where
from intaglio.graph.attention_masks import mask_of
from intaglio.graph.edit import insert, remove, replace, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.pattern import keeps_shape


def merge_affine(graph: Graph) -> list[str]:
    """Merge neighbouring Mul and Add of constants until none is left beside another of its kind; masks stay."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        while node.graph is not None:
            following = single_consumer(node.outputs[0])
            first, second = _factor(node), None if following is None else _factor(following)
            if following is None or first is None or second is None or following.inputs[0] is not node.outputs[0]:
                break
            kinds = (node.op_type, following.op_type)
            if kinds == ("Mul", "Add"):
                break
            merged = first + second if kinds == ("Add", "Add") else first * second
            if merged.size > max(first.size, second.size):
                break
            text = f"{where(following)} merged with {where(node)}"
            if kinds == ("Add", "Mul"):
                # The Mul first: then the node before it may absorb it.
                _exchange(inner, node, following, merged)
            else:
                _set_factor(node, merged)
                replace(following.outputs[0], node.outputs[0])
                remove(inner, following)
            changes.append(text)
    return changes


def _factor(node: ir.Node) -> Array | None:
    """Get the constant of a Mul or Add that keeps the shape of its first input, in float64."""
    source = input_value(node, 0)
    array = constant(input_value(node, 1))
    if node.op_type not in AFFINE or node.domain or array is None or source is None:
        return None
    if source.is_initializer() or array.dtype != np.float32 or not keeps_shape(node, source):
        return None
    if mask_of(node) is not None:
        return None
    return array.astype(np.float64)


def _set_factor(node: ir.Node, array: Array) -> None:
    value = node.inputs[1]
    assert value is not None
    set_constant(value, array.astype(np.float32))


def _exchange(graph: ir.Graph, add: ir.Node, mul: ir.Node, shift: Array) -> None:
    """Rewrite (x + a) * b -> x * b + (a b): the Mul moves before the Add."""
    source, offset = add.inputs
    assert offset is not None
    scaled = insert(graph, add, "Mul", [source, mul.inputs[1]], name=f"{mul.name}.scale")
    set_constant(offset, shift.astype(np.float32))
    add.replace_input_with(0, scaled.outputs[0])
    mul.replace_input_with(1, None)
    replace(mul.outputs[0], add.outputs[0])
    remove(graph, mul)
