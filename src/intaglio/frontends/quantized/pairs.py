"""Normalize QuantizeLinear and DequantizeLinear: merge duplicates, store weights in the shape of their use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ModelError
from intaglio.frontends.quantized.parameters import read_params
from intaglio.graph import Graph, attribute, constant
from intaglio.graph.access import input_value, where
from intaglio.graph.compute import compute_node
from intaglio.graph.edit import add_constant, remove, remove_unread, set_attribute
from intaglio.graph.operators import named
from intaglio.number import PerChannel, PerTensor

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


SATURATION_KEY = "intaglio.codes"
"""Metadata key of a DequantizeLinear: the lowest and highest code to which its constant was clipped."""


def note_saturation(model: ir.Model) -> None:
    """Record the bounds of a Clip between a constant's codes and their DequantizeLinear, before loading folds it.

    The bounds give the number of bits of the constant.
    """
    for node in model.graph:
        if node.op_type != "Clip" or len(node.inputs) != 3:
            continue
        source = node.inputs[0]
        maker = source.producer() if source is not None else None
        if maker is not None and maker.op_type == QUANTIZE:
            source = maker.inputs[0]
        known = [
            None if value is None else ir.convenience.get_const_tensor(value) for value in (source, *node.inputs[1:])
        ]
        if any(content is None for content in known):
            continue
        low, high = (int(content.numpy().reshape(-1)[0]) for content in known[1:] if content is not None)
        for use in node.outputs[0].uses():
            if use.node.op_type == DEQUANTIZE:
                use.node.metadata_props[SATURATION_KEY] = f"{low} {high}"


def merge_twins(graph: Graph) -> list[str]:
    """Merge the QuantizeLinear and DequantizeLinear nodes that a tool wrote once per reader."""
    count = 0
    seen: dict[tuple[object, ...], ir.Value] = {}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        if node.op_type not in (QUANTIZE, DEQUANTIZE) or source is None or source.is_initializer():
            continue
        output = node.outputs[0]
        parameters = [_content(input_value(node, index)) for index in (1, 2)]
        key = (node.op_type, source, output.dtype, *parameters, *_attributes(node))
        first = seen.setdefault(key, output)
        if first is not output and not output.is_graph_output():
            output.replace_all_uses_with(first)
            remove(graph.model.graph, node)
            count += 1
    return [f"{count} QuantizeLinear and DequantizeLinear nodes, written once per reader, merged"] if count else []


def _content(value: ir.Value | None) -> object:
    array = constant(value)
    return value if array is None else (array.shape, str(array.dtype), array.tobytes())


def _attributes(node: ir.Node) -> tuple[object, ...]:
    return tuple(sorted((name, attribute(node, name)) for name in node.attributes))


def settle_weights(graph: Graph) -> list[str]:
    """Transpose or reshape the codes of a weight instead of its dequantized values.

    Raises:
        ModelError: the scales would no longer lie along one axis.
    """
    changes = []
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        maker = source.producer() if source is not None else None
        move = _MOVES.get(node.op_type)
        if move is None or node.domain or maker is None or maker.op_type != DEQUANTIZE:
            continue
        codes = maker.inputs[0]
        given = [codes, *(value for value in node.inputs[1:] if value is not None)]
        if not all(value is not None and value.is_initializer() for value in given) or codes is None:
            continue
        _settle(graph.model.graph, node, maker, codes, move)
        changes.append(f"{where(node)} moves a quantized constant: computed beforehand")
    return changes


def _settle(
    graph: ir.Graph, node: ir.Node, maker: ir.Node, codes: ir.Value, move: Callable[[ir.Node, int], int | None]
) -> None:
    params = read_params(maker)
    axis = None
    if isinstance(params.granularity, PerChannel):
        axis = move(node, params.granularity.axis)
    if axis is None and not isinstance(params.granularity, PerTensor):
        raise ModelError(
            f"{where(node)} expected to keep the scales of '{codes.name}' along one axis, got {params.granularity}; "
            "quantize the weight in the shape in which it is used"
        )
    array = constant(codes)
    assert array is not None
    inputs = [_like(codes, array.astype(np.int32)), *node.inputs[1:]]  # evaluated as int32, which every operator takes
    wide = ir.Node("", node.op_type, inputs, list(node.attributes.values()))
    wide.outputs[0].name = "moved"
    result = compute_node(wide, [constant(value) for value in inputs], graph.opset_imports)[0]
    wide.resize_inputs(0)
    assert not isinstance(result, list)
    moved = add_constant(graph, str(codes.name), result.astype(array.dtype))
    given = [moved, *(add_constant(graph, str(v.name), _array(v)) for v in maker.inputs[1:] if v is not None)]
    twin = ir.Node("", DEQUANTIZE, given, name=f"{node.name}.dequantized", num_outputs=1)
    twin.metadata_props.update(maker.metadata_props)
    if axis is not None:
        set_attribute(twin, "axis", axis)
    output, old = twin.outputs[0], node.outputs[0]
    output.name, output.shape, output.type = f"{old.name}.dequantized", old.shape, old.type
    graph.insert_before(node, twin)
    old.replace_all_uses_with(output)
    remove_unread(graph)


def _like(value: ir.Value, array: NDArray[Any]) -> ir.Value:
    content = ir.Tensor(array, name="codes")
    return ir.Value(name="codes", shape=value.shape, type=ir.TensorType(ir.DataType.INT32), const_value=content)


def _array(value: ir.Value) -> NDArray[Any]:
    array = constant(value)
    assert array is not None
    return array


def _transposed(node: ir.Node, axis: int) -> int | None:
    perm = attribute(node, "perm")
    return list(perm).index(axis % len(perm))


def _reshaped(node: ir.Node, axis: int) -> int | None:
    """Return the axis of the result that corresponds to `axis` of the source; None if there is none."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    assert source.shape is not None
    assert result.shape is not None
    before, after = [int(s) for s in source.shape.numpy()], [int(s) for s in result.shape.numpy()]
    axis %= len(before)
    for index, size in enumerate(after):
        if size == before[axis] and np.prod(after[:index]) == np.prod(before[:axis]):
            return index
    return None


_MOVES: dict[str, Callable[[ir.Node, int], int | None]] = {
    "Transpose": _transposed,
    **dict.fromkeys(named("reshapes"), _reshaped),
}
