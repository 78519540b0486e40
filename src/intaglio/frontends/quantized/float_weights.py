"""Read files in which only weights are integers as the float networks that they stand for.

Dynamic quantization computes

    acc = MatMulInteger(x_q, w_q, z_x, z_w);   y = float(acc) * (s_x * s_w)   with x = s_x * (x_q - z_x)

and finds s_x and z_x from each input. With the float x in the place of x_q, 1 for s_x and 0 for z_x, the same nodes
compute the float product of x and (w_q - z_w) * s_w. Other files have float activations and dequantize their weights.
Weights keep the values that the file gives them, on its grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.quantized.nbits_weights import unpack_nbits
from intaglio.frontends.quantized.quantized_operators import is_quantized
from intaglio.graph.access import Array, attribute, constant, consumers, input_value, where
from intaglio.graph.edit import add_constant, remove
from intaglio.graph.operators import rearranges

_PRODUCTS = {"ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"}


def has_float_activations(nodes: Iterable[ir.Node]) -> bool:
    """Tell whether nodes have integer weights but compute with float activations, or quantize them at run time."""
    quantized = [node for node in nodes if is_quantized(node)]
    return bool(quantized) and all(node.op_type in FORMS for node in quantized)


def float_weights(model: ir.Model) -> list[str]:
    """Replace operators with integer weights by float operators, in place, if the model has no other quantized ones.

    Returns:
        A sentence that counts the operators.
    Raises:
        ModelError: an operator whose operands are not those of dynamic quantization.
    """
    graph = model.graph
    if not has_float_activations(graph):
        return []
    found = [node for node in graph if is_quantized(node)]
    kinds = Counter(node.op_type for node in found)
    for node in found:
        FORMS[node.op_type](graph, node)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return [f"integer weights with float activations ({counts}) are read as float weights, on the grid of the file"]


def _dynamic_quantize(graph: ir.Graph, node: ir.Node) -> None:
    """Read x itself, scale 1 and zero point 0."""
    source, codes = node.inputs[0], node.outputs[0]
    assert source is not None
    others = [reader for reader in consumers(codes) if reader.op_type not in _PRODUCTS]
    if others or any(output.is_graph_output() for output in node.outputs):
        found = where(others[0]) if others else "an output of the network"
        raise ModelError(
            f"{where(node)} expected products of integers behind it, got {found}; give the float network that it was "
            "made from"
        )
    one: Array = np.array(1, np.float32)
    zero: Array = np.array(0, np.uint8)
    codes.replace_all_uses_with(source)
    for output, role, array in zip(node.outputs[1:], ("scale", "zero_point"), (one, zero), strict=False):
        if output.uses():
            output.replace_all_uses_with(add_constant(graph, f"{node.name}.{role}", array))
    graph.remove(node, safe=True)


def _integer_product(graph: ir.Graph, node: ir.Node) -> None:
    """MatMulInteger and ConvInteger become MatMul and Conv; the Cast of their sums goes."""
    for index in (0, 1):
        _take_zero_point(graph, node, index, index + 2)
    node.resize_inputs(2)
    node.op_type = node.op_type.removesuffix("Integer")
    result = node.outputs[0]
    readers = consumers(result)
    odd = [reader for reader in readers if reader.op_type != "Cast" or attribute(reader, "to") != ir.DataType.FLOAT]
    if odd or result.is_graph_output():
        raise ModelError(
            f"{where(node)} expected the Cast to float of dynamic quantization behind it, got "
            f"{where(odd[0]) if odd else 'an output of the network'}; give the float network that it was made from"
        )
    for reader in readers:
        if not reader.outputs[0].is_graph_output():
            reader.outputs[0].replace_all_uses_with(result)
            graph.remove(reader, safe=True)


def _take_zero_point(graph: ir.Graph, node: ir.Node, index: int, of: int) -> None:
    """Turn a constant operand into its real numbers over the scale; a computed one is float already."""
    value, zero_point = node.inputs[index], input_value(node, of)
    array, zero = constant(value), np.array(0) if zero_point is None else constant(zero_point)
    assert value is not None
    if zero is None or (array is None and zero.any()):
        raise ModelError(
            f"{where(node)} expected an operand that DynamicQuantizeLinear quantizes, got '{value.name}' with a zero "
            "point of its own; give the float network that it was made from"
        )
    if array is not None:
        along = _along(zero, array.ndim, 0 if node.op_type == "ConvInteger" else -1)
        node.replace_input_with(index, _real(graph, value, array.astype(np.float32) - along))


def _dequantize(graph: ir.Graph, node: ir.Node) -> None:
    """Dequantize a constant, also one that is read through a Gather or a Reshape."""
    source, scale = node.inputs[0], constant(node.inputs[1])
    zero = constant(input_value(node, 2))
    moves: list[ir.Node] = []
    while source is not None and constant(source) is None:
        producer = source.producer()
        if producer is None or not rearranges(producer.op_type) or len(source.uses()) != 1:
            source = None
            break
        moves.append(producer)
        source = producer.inputs[0]
    codes = constant(source)
    if source is None or codes is None or scale is None or (moves and scale.size > 1):
        raise ModelError(
            f"{where(node)} expected a constant weight with constant scales, one where it is read by position, got "
            f"'{node.inputs[0] and node.inputs[0].name}'; give the float network that it was made from"
        )
    axis, block = int(attribute(node, "axis", 1)), int(attribute(node, "block_size", 0))
    if block:
        scale = np.repeat(scale, block, axis)
        scale = np.take(scale, range(codes.shape[axis]), axis)
        zero = None if zero is None else np.take(np.repeat(zero, block, axis), range(codes.shape[axis]), axis)
    else:
        scale = _along(scale, codes.ndim, axis)
        zero = None if zero is None else _along(zero, codes.ndim, axis)
    real = (codes.astype(np.float32) - (0 if zero is None else zero.astype(np.float32))) * scale.astype(np.float32)
    weight = _real(graph, source, real.astype(np.float32))
    result: ir.Value = weight
    if moves:
        moves[-1].replace_input_with(0, weight)
        result = moves[0].outputs[0]
        result.type = None
    node.outputs[0].replace_all_uses_with(result, replace_graph_outputs=True)
    remove(graph, node)


def _integer_to_float(graph: ir.Graph, node: ir.Node) -> None:
    """MatMulIntegerToFloat and DynamicQuantizeMatMul: the float product, and the bias."""
    dynamic = node.op_type == "DynamicQuantizeMatMul"
    scale_of_a = None if dynamic else constant(input_value(node, 2))
    scale, zero, bias = (input_value(node, index) for index in ((2, 3, 4) if dynamic else (3, 5, 6)))
    weight, steps, zeros = node.inputs[1], constant(scale), constant(zero)
    codes = constant(weight)
    if weight is None or codes is None or steps is None or (not dynamic and (scale_of_a is None or scale_of_a != 1)):
        raise ModelError(
            f"{where(node)} expected a constant weight and an operand that DynamicQuantizeLinear quantizes, got "
            f"'{weight and weight.name}'; give the float network that it was made from"
        )
    real = codes.astype(np.float32) - (0 if zeros is None else _along(zeros, codes.ndim, -1))
    product = ir.Node(
        "", "MatMul", [node.inputs[0], _real(graph, weight, real * _along(steps, codes.ndim, -1))], name=node.name
    )
    _put(graph, node, product, bias)


def _lstm(graph: ir.Graph, node: ir.Node) -> None:
    """Turn DynamicQuantizeLSTM, whose weights stand inputs first, into LSTM."""
    for index, first in ((1, 8), (2, 10)):
        weight, scale, zero = node.inputs[index], constant(node.inputs[first]), constant(node.inputs[first + 1])
        codes = constant(weight)
        if weight is None or codes is None or scale is None or zero is None:
            raise ModelError(
                f"{where(node)} expected constant weights and scales, got '{weight and weight.name}', computed at run "
                "time; give the float network that it was made from"
            )
        steps, zeros = (a.astype(np.float32).reshape(codes.shape[0], 1, -1) for a in (scale, zero))
        real = ((codes.astype(np.float32) - zeros) * steps).transpose(0, 2, 1)
        node.replace_input_with(index, _real(graph, weight, real))
    node.resize_inputs(8)
    node.op_type, node.domain = "LSTM", ""


def _nbits(graph: ir.Graph, node: ir.Node) -> None:
    """MatMulNBits: weights of few bits in blocks along the inputs."""
    weight = node.inputs[1]
    assert weight is not None
    real = unpack_nbits(node)
    product = ir.Node("", "MatMul", [node.inputs[0], _real(graph, weight, real)], name=node.name)
    _put(graph, node, product, input_value(node, 5))


def _put(graph: ir.Graph, node: ir.Node, product: ir.Node, bias: ir.Value | None) -> None:
    """Put a product and the Add of its bias in the place of a node."""
    result, name = node.outputs[0], str(node.outputs[0].name)
    graph.insert_before(node, product)
    last = product
    if bias is not None:
        product.outputs[0].name = f"{name}__product"
        last = ir.Node("", "Add", [product.outputs[0], bias], name=f"{node.name}.bias")
        graph.insert_before(node, last)
    result.replace_all_uses_with(last.outputs[0], replace_graph_outputs=True)
    result.name, last.outputs[0].name = f"{name}__replaced", name
    remove(graph, node)


def _along(array: Array, full: int, axis: int) -> Array:
    """Bring a scalar or vector along one axis of a tensor to the tensor's rank."""
    if array.size == 1:
        return array.reshape(())
    sizes = [1] * full
    sizes[axis] = array.size
    return array.reshape(sizes).astype(np.float32)


def _real(graph: ir.Graph, codes: ir.Value, array: Array) -> ir.Value:
    """Add the real weight, called after its codes without the suffix that quantizers append."""
    return add_constant(graph, str(codes.name).removesuffix("_quantized"), array)


Form = Callable[[ir.Graph, ir.Node], None]

FORMS: dict[str, Form] = {
    "ConvInteger": _integer_product,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLSTM": _lstm,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "DynamicQuantizeMatMul": _integer_to_float,
    "MatMulInteger": _integer_product,
    "MatMulIntegerToFloat": _integer_to_float,
    "MatMulNBits": _nbits,
}
"""By operator: how it becomes float. Nodes are in order: readers of `DynamicQuantizeLinear` see its float operand."""
