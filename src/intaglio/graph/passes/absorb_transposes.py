"""Absorb a Transpose next to a dense layer into the order of the layer's weights.

    Transpose -> Reshape to (N, K) -> Gemm      the rows of the weight are permuted
    Gemm -> Reshape from (N, K) -> Transpose    its columns and the bias are

Elementwise nodes without parameters may stand in between.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import (
    Array,
    attribute,
    constant,
    consumers,
    input_value,
    rank,
    shape,
    single_consumer,
    where,
)
from intaglio.graph.edit import add_constant, insert, remove_unread_before, replace, set_attribute, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts, named
from intaglio.graph.permute import Perm, moves_nothing

_DENSE = named("product") - named("channels_first")


def absorb_transposes(graph: Graph) -> list[str]:
    """Take out every Transpose that a dense layer's weights, or a Reshape, can stand for."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None or node.op_type != "Transpose" or node.domain:
            continue
        before = where(node)
        text = next((text for rule in _RULES if (text := rule(inner, node)) is not None), None)
        if text is not None:
            changes.append(f"{before} {text}")
            remove_unread_before(inner, node)
    return changes


def is_absorbed(node: ir.Node, value: ir.Value, perm: Perm, sizes: tuple[int, ...]) -> bool:
    """Tell whether this reader of a value would absorb a transpose by `perm` before it.

    Args:
        node: reads `value`.
        value: the result of that Transpose.
        perm: that of the Transpose.
        sizes: those before the Transpose.
    """
    if node.domain or node.inputs[0] is not value:
        return False
    if node.op_type == "Reshape":
        return moves_nothing(perm, sizes) or (perm[0] == 0 and _layers_behind(node) is not None)
    return _axes_in_front(node, perm) is not None


def _axes_in_front(node: ir.Node, perm: Perm) -> list[int] | None:
    """Find the axes that an axis-dropping reduction has before a Transpose; None if the order of the rest changes."""
    axes = _reduced_axes(node)
    if axes is None:
        return None
    kept = [source for axis, source in enumerate(perm) if axis not in axes]
    return sorted(perm[axis] for axis in axes) if kept == sorted(kept) else None


def _reduced_axes(node: ir.Node) -> list[int] | None:
    if attribute(node, "keepdims", 1) or node.domain:
        return None
    if facts(node.op_type).position:
        return [int(attribute(node, "axis"))]
    array = constant(input_value(node, 1))
    return None if array is None or not node.op_type.startswith("Reduce") else [int(axis) for axis in array]


def _into_reduction(graph: ir.Graph, node: ir.Node) -> str | None:
    """Let an axis-dropping reduction read the input of the Transpose."""
    users = consumers(node.outputs[0])
    perm = attribute(node, "perm")
    if not users or node.outputs[0].is_graph_output() or any(_axes_in_front(user, perm) is None for user in users):
        return None
    for user in users:
        axes = _axes_in_front(user, perm)
        assert axes is not None
        if facts(user.op_type).position:
            set_attribute(user, "axis", axes[0])
        else:
            value = user.inputs[1]
            assert value is not None
            set_constant(value, np.array(axes, dtype=np.int64))
        user.replace_input_with(0, node.inputs[0])
    return f"taken into the axes of {', '.join(where(user) for user in users)}"


def _into_reshape(graph: ir.Graph, node: ir.Node) -> str | None:
    """Replace a Transpose that moves only axes of size 1 by a Reshape."""
    sizes = shape(node.inputs[0])
    if not moves_nothing(attribute(node, "perm"), sizes):
        return None
    target = list(shape(node.outputs[0]))
    if sizes[:1] == tuple(target[:1]):
        target[0] = 0
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    return "moves axes of size 1 only: written as Reshape"


def _layers_behind(reshape: ir.Node) -> list[ir.Node] | None:
    """Find the dense layers that read a flattened value; None if anything else reads it."""
    source, result = shape(reshape.inputs[0]), shape(reshape.outputs[0])
    if len(result) != 2 or len(source) < 2 or source[0] != result[0]:
        return None
    layers: list[ir.Node] = []
    stack = [reshape.outputs[0]]
    while stack:
        value = stack.pop()
        users = consumers(value)
        if not users or value.is_graph_output():
            return None
        for user in users:
            if user.domain:
                return None
            if _is_layer(user, value):
                layers.append(user)
            elif facts(user.op_type).function and user.inputs[0] is value:
                stack.append(user.outputs[0])
            else:
                return None
    return layers


def _is_layer(node: ir.Node, value: ir.Value) -> bool:
    if node.op_type not in _DENSE or node.inputs[0] is not value or attribute(node, "transA", 0):
        return False
    weight = node.inputs[1]
    return weight is not None and weight.is_initializer() and rank(weight) == 2


def _into_following(graph: ir.Graph, node: ir.Node) -> str | None:
    perm = attribute(node, "perm")
    reshape = single_consumer(node.outputs[0])
    if perm[0] != 0 or reshape is None or reshape.op_type != "Reshape" or reshape.inputs[0] is not node.outputs[0]:
        return None
    layers = _layers_behind(reshape)
    if not layers:
        return None
    sizes = shape(node.inputs[0])
    # places[j]: where element j of the transposed, flattened sample stands in the sample that is only flattened
    places = np.arange(np.prod(sizes[1:])).reshape(sizes[1:]).transpose([axis - 1 for axis in perm[1:]]).ravel()
    for layer in layers:
        _permute_rows(layer, places)
    reshape.replace_input_with(0, node.inputs[0])
    return f"taken into the weights of {', '.join(where(layer) for layer in layers)}"


def _permute_rows(layer: ir.Node, places: Array) -> None:
    value = layer.inputs[1]
    weight = constant(value)
    assert value is not None
    assert weight is not None
    permuted = np.empty_like(weight)
    if attribute(layer, "transB", 0):
        permuted[:, places] = weight
    else:
        permuted[places] = weight
    set_constant(value, permuted)


def _into_preceding(graph: ir.Graph, node: ir.Node) -> str | None:
    perm, sizes = attribute(node, "perm"), shape(node.inputs[0])
    reshape = _only_source(node)
    if perm[0] != 0 or reshape is None or reshape.op_type != "Reshape":
        return None
    if len(shape(reshape.inputs[0])) != 2 or shape(reshape.inputs[0])[0] != sizes[0]:
        return None
    layer = _only_source(reshape)
    between = []
    while layer is not None and facts(layer.op_type).function and not layer.domain:
        between.append(layer)
        layer = _only_source(layer)
    if layer is None or layer.domain or layer.op_type != "Gemm" or not _is_layer(layer, layer.inputs[0]):  # type: ignore[arg-type]
        return None
    bias = input_value(layer, 2)
    if bias is not None and (constant(bias) is None or shape(bias) != (shape(layer.outputs[0])[1],)):
        return None
    places = np.arange(np.prod(sizes[1:])).reshape(sizes[1:]).transpose([axis - 1 for axis in perm[1:]]).ravel()
    value = layer.inputs[1]
    weight = constant(value)
    assert value is not None
    assert weight is not None
    set_constant(value, weight[places] if attribute(layer, "transB", 0) else weight[:, places])
    if bias is not None:
        array = constant(bias)
        assert array is not None
        set_constant(bias, array[places])
    target = add_constant(graph, f"{reshape.name}.shape", np.array([0, *shape(node.outputs[0])[1:]], dtype=np.int64))
    direct = insert(graph, node, "Reshape", [reshape.inputs[0], target], name=f"{reshape.name}.in_order")
    text = f"taken into the weights of {where(layer)}"
    replace(node.outputs[0], direct.outputs[0])
    return text


def _only_source(node: ir.Node) -> ir.Node | None:
    """Find the node that computes the first input, if this node is its only reader."""
    value = node.inputs[0]
    if value is None or value.producer() is None or single_consumer(value) is not node:
        return None
    return value.producer()


_RULES = (_into_reshape, _into_reduction, _into_following, _into_preceding)
