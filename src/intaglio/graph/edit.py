"""Change a graph and keep its normal form: names stay unique, each constant has one consumer, types are known.

A value's name stands for one real tensor. So when several nodes become one, the result takes the name of the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from intaglio.graph.access import Array, constant
from intaglio.graph.infer import infer_node
from intaglio.graph.unique_names import new_node_name, new_value_name, note_names

AttributeValue = int | float | str | Sequence[int] | Sequence[float]


def tensor(array: Array, name: str | None = None) -> ir.Tensor[Array]:
    """Make an `onnx_ir` tensor that owns a contiguous copy of an array, writable so that torch may share it."""
    return ir.Tensor(np.array(array, order="C"), name=name)


def add_constant(graph: ir.Graph, wanted: str, array: Array) -> ir.Value:
    """Add an initializer named `wanted`, made unique."""
    name = new_value_name(graph, wanted)
    content = tensor(array, name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(content.dtype), const_value=content)
    graph.register_initializer(value)
    note_names(graph, [value])
    return value


def set_constant(value: ir.Value, array: Array) -> None:
    """Replace the array of an initializer, which keeps its name."""
    content = tensor(array, value.name)
    value.const_value = content
    value.shape = ir.Shape(array.shape)
    value.type = ir.TensorType(content.dtype)


def insert(
    graph: ir.Graph,
    before: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    name: str,
    outputs: int = 1,
) -> ir.Node:
    """Insert a new node before another; its outputs get names after the node, and their types.

    Args:
        graph: the graph that holds `before`.
        before: the node that the new one precedes.
        op_type: an operator of ONNX's main domain.
        inputs: values of the graph, None where left out.
        attributes: Python values by ONNX name.
        name: the wanted name, made unique.
        outputs: how many outputs the node has.
    Returns:
        The node, with types and shapes of its outputs set.
    """
    return insert_in_domain(graph, before, "", op_type, inputs, attributes, name=name, outputs=outputs)


def insert_in_domain(
    graph: ir.Graph,
    before: ir.Node,
    domain: str,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    name: str,
    outputs: int = 1,
) -> ir.Node:
    """Do what `insert` does, for an operator of any domain that shapes are inferred for."""
    node_name = new_node_name(graph, name)
    given: Any = [ir.convenience.convert_attribute(key, value) for key, value in (attributes or {}).items()]
    node = ir.Node(domain, op_type, inputs, given, name=node_name, num_outputs=outputs)
    taken: list[str] = []
    for output in node.outputs:
        output.name = new_value_name(graph, node_name, taken)
        taken.append(output.name)
    infer_node(node, dict(graph.opset_imports))
    graph.insert_before(before, node)
    note_names(graph, [node, *node.outputs])
    return node


def rename(owner: ir.Value | ir.Node, name: str) -> None:
    """Give a value or node of a graph a name that no other has, or that its owner has given up."""
    owner.name = name
    if owner.graph is not None:
        note_names(owner.graph, [owner])


def set_attribute(node: ir.Node, name: str, value: AttributeValue) -> None:
    """Set an attribute of a node."""
    attribute: Any = ir.convenience.convert_attribute(name, value)
    node.attributes[name] = attribute


def replace(old: ir.Value, new: ir.Value) -> None:
    """Replace `old` by `new` wherever it is read or is an output of the graph; `new` takes the name of `old`.

    Both denote the same tensor, which keeps its name. `old` is left unread, under the name that `new` had. A `new` that
    is an input, a constant or an output of the graph keeps its own name.
    """
    name = str(old.name)
    was_output = old.is_graph_output()
    assert not was_output or can_be_output(new), "the pass must keep the node in this case"
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if not (new.is_graph_input() or new.is_initializer() or (new.is_graph_output() and not was_output)):
        given_up = str(new.name)
        rename(new, name)
        rename(old, given_up)


def can_be_output(value: ir.Value) -> bool:
    """Tell whether a value may become an output of the graph under another name."""
    return not (value.is_graph_input() or value.is_initializer() or value.is_graph_output())


def can_bypass(node: ir.Node) -> bool:
    """Tell whether the first output of a node that computes nothing can be replaced by its first input."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    return not result.is_graph_output() or can_be_output(source)


def bypass(graph: ir.Graph, node: ir.Node) -> None:
    """Remove a node whose first output equals its first input."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    assert can_bypass(node)
    if result.is_graph_output():
        replace(result, source)
    else:
        result.replace_all_uses_with(source)
    remove(graph, node)


def remove(graph: ir.Graph, *nodes: ir.Node) -> None:
    """Remove nodes that are not read, with the constants that only they read."""
    for node in nodes:
        read = [value for value in node.inputs if value is not None]
        graph.remove(node, safe=True)
        for value in read:
            if value.is_initializer() and not value.uses() and not value.is_graph_output():
                graph.initializers.pop(str(value.name), None)


def drop_inputs(graph: ir.Graph, node: ir.Node, keep: int) -> None:
    """Cut a node's inputs down to the first `keep`, with the constants that only it read."""
    gone = [value for value in node.inputs[keep:] if value is not None]
    node.resize_inputs(keep)
    for value in gone:
        if value.is_initializer() and not value.uses():
            graph.initializers.pop(str(value.name), None)


def remove_unread_before(graph: ir.Graph, *nodes: ir.Node) -> None:
    """Remove nodes that are not read, those before them that nothing reads any more, and the constants of all these.

    It looks at no other node, so that a pass may call it after every change; `remove_unread` walks the whole graph.
    """
    candidates = dict.fromkeys(nodes)
    while candidates:
        node = candidates.popitem()[0]
        if node.graph is not graph:
            continue
        if not any(map(_is_read, node.outputs)):
            sources = [value.producer() for value in node.inputs if value is not None]
            remove(graph, node)
            candidates.update(dict.fromkeys(source for source in sources if source is not None))
        elif len(node.outputs) > 1:
            _leave_out_outputs(node, dict(graph.opset_imports))


def remove_unread(graph: ir.Graph) -> int:
    """Remove every node and constant that no output depends on, and optional outputs that are not read.

    Returns:
        The number of removed nodes.
    """
    count = 0
    for node in reversed(list(graph)):
        if not any(map(_is_read, node.outputs)):
            remove(graph, node)
            count += 1
        elif len(node.outputs) > 1:
            _leave_out_outputs(node, dict(graph.opset_imports))
    for value in list(graph.initializers.values()):
        if not value.uses() and not value.is_graph_output():
            graph.initializers.pop(str(value.name))
    return count


def _is_read(output: ir.Value) -> bool:
    return bool(output.uses()) or output.is_graph_output()


def _leave_out_outputs(node: ir.Node, opset_imports: dict[str, int]) -> None:
    """Remove optional outputs that are not read, such as mean and deviation of LayerNormalization."""
    version = opset_imports.get(node.domain)
    if node.attributes.get_int("training_mode", 0):
        return  # its outputs are required: it is refused later, by an error of its own
    if version is None or not onnx.defs.has(node.op_type, version, node.domain):
        return
    formal = onnx.defs.get_schema(node.op_type, version, node.domain).outputs
    for index in reversed(range(1, min(len(node.outputs), len(formal)))):
        if _is_read(node.outputs[index]) or formal[index].option != onnx.defs.OpSchema.FormalParameterOption.Optional:
            continue
        if index == len(node.outputs) - 1:
            node.resize_outputs(index)
        else:
            node.outputs[index].name = ""


def split_shared_constants(graph: ir.Graph) -> None:
    """Give every constant one consumer: `w` read twice becomes `w` and `w__2`, which share one array."""
    for value in list(graph.initializers.values()):
        uses = list(value.uses())
        for use in uses[1:]:
            name = new_value_name(graph, str(value.name))
            twin = ir.Value(name=name, shape=value.shape, type=value.type, const_value=value.const_value)
            assert value.const_value is not None
            twin.const_value = ir.Tensor(value.const_value.numpy(), name=name, dtype=value.const_value.dtype)
            graph.register_initializer(twin)
            note_names(graph, [twin])
            use.node.replace_input_with(use.idx, twin)


def with_constants(node: ir.Node, constants: Mapping[str, Array]) -> ir.Node:
    """Copy a node, outside any graph, with other constants.

    Args:
        node: the node to copy; it stays as it is.
        constants: by name, instead of its constant inputs of these names.
    """
    inputs: list[ir.Value | None] = []
    for value in node.inputs:
        array = None if value is None else constants.get(str(value.name), constant(value))
        held = None if array is None else tensor(array)
        inputs.append(
            None if value is None else ir.Value(name=value.name, shape=value.shape, type=value.type, const_value=held)
        )
    outputs = [ir.Value(name=v.name, shape=v.shape, type=v.type) for v in node.outputs]
    return ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=outputs, name=node.name)
