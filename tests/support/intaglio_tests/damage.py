"""Small valid models, and damage done to them: to what they say, and to their bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from intaglio_tests.onnx_net import Net

f = np.float32
Rng = np.random.Generator
SMALL = (-3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8)  # most damages are small ones, which get far
INTEGERS = (*SMALL * 2, -(2**63), -(2**31), -100, 100, 2**16, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, 3.5, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "SAME_UPPER", "VALID", "reflect", "linear", "cubic", "align_corners", "CRD", "tanh", "nonsense", "\u00e9")
OPERATORS = (
    "Add", "Mul", "Div", "Sub", "MatMul", "Gemm", "Conv", "ConvTranspose", "Relu", "Clip", "Pad", "Concat", "Split",
    "Slice", "Gather", "Reshape", "Transpose", "Flatten", "Softmax", "LogSoftmax", "ReduceMean", "ReduceMax", "ArgMax",
    "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization", "Resize", "LayerNormalization", "PRelu",
    "LeakyRelu", "Expand", "Tile", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Where", "Cast", "Shape",
    "ConstantOfShape", "Range", "DepthToSpace", "SpaceToDepth", "Pow", "Max", "Min", "Constant", "LSTM", "If", "Loop",
    "QuantizeLinear", "DequantizeLinear", "Nonsense",
)  # fmt: skip


def images() -> Net:
    net = Net(opset=18)
    y = net.op("Relu", net.batch_norm(net.conv(net.input("x", ("N", 3, 8, 8)), 3, 4, strides=[2, 1]), 4))
    y = net.op("Pad", y, [0, 0, 0, 1, 0, 0, 1, 0], f(0.5))
    y = net.op("Resize", y, "", np.array([1, 1, 2, 2], f), mode="linear", coordinate_transformation_mode="half_pixel")
    y = net.op("MaxPool", y, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0], ceil_mode=1)
    y = net.op("Flatten", net.op("AveragePool", y, kernel_shape=[2, 2], auto_pad="SAME_UPPER"))
    return net.output(net.op("Softmax", net.op("Gemm", y, net.normal(5, 140), net.normal(5), transB=1)))


def tokens() -> Net:
    net = Net(opset=17)
    x = net.op("LayerNormalization", net.input("x", ("N", 4, 6)), net.positive(6), net.normal(6))
    q, k = net.op("Split", net.op("MatMul", x, net.normal(6, 12)), [6, 6], axis=-1, outputs=2)
    scores = net.op("Mul", net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1])), f(0.4))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), x)
    y = net.op("Concat", net.op("Slice", y, [1], [4], [1]), net.op("Gather", y, [0, 2], axis=1), axis=-2)
    y = net.op("ReduceMean", net.op("Add", net.op("Erf", y), f(1)), axes=[1])
    return net.output(net.op("Clip", net.op("Squeeze", y, [1]), f(-1), f(3)))


def generator() -> Net:
    net = Net(opset=13)
    x = net.input("x", ("N", 4, 3, 3))
    y = net.op(
        "ConvTranspose", x, net.normal(4, 1, 3, 3), net.normal(4), group=4, strides=[2, 2], output_padding=[1, 1]
    )
    y = net.op("PRelu", y, net.positive(4, 1, 1))
    y = net.op("DepthToSpace", net.op("SpaceToDepth", y, blocksize=2), blocksize=2, mode="CRD")
    y = net.op("Sub", net.op("Div", y, f(3)), net.op("Expand", net.normal(4, 1, 1), [1, 4, 8, 8]))
    y = net.op("Unsqueeze", net.op("Pow", net.op("Sigmoid", y), f(2)), [2])
    y = net.op("Squeeze", net.op("ReduceMax", y, axes=[4]), [2])
    return net.output(net.op("ArgMax", y, axis=1, keepdims=0), dtype=onnx.TensorProto.INT64)


def shapes() -> Net:
    net = Net(opset=11)
    x = net.input("x", ("N", 2, 6))
    sizes = net.op("Shape", x)
    batch = net.op("Unsqueeze", net.op("Gather", sizes, np.array(0, np.int64)), axes=[0])
    y = net.op("Reshape", x, net.op("Concat", batch, [-1], axis=0))
    y = net.op("Add", y, net.op("Cast", net.op("ConstantOfShape", [12]), to=onnx.TensorProto.FLOAT))
    y = net.op("Max", net.op("LogSoftmax", y, axis=1), net.op("Tile", net.normal(1, 3), [1, 4]))
    return net.output(net.op("Identity", net.op("Dropout", net.op("Transpose", net.op("Neg", y), perm=[0, 1]))))


def quantized() -> Net:
    net = Net(opset=13)
    at = (f(0.05), np.array(3, np.uint8))
    x = net.op("DequantizeLinear", net.op("QuantizeLinear", net.input("x", ("N", 3, 6, 6)), *at), *at)
    weight = net.rng.integers(-100, 100, (4, 3, 3, 3)).astype(np.int8)
    w = net.op("DequantizeLinear", weight, net.positive(4) / 100, np.zeros(4, np.int8), axis=0)
    y = net.op("Relu", net.op("Conv", x, w, pads=[1, 1, 1, 1]))
    y = net.op("DequantizeLinear", net.op("QuantizeLinear", y, *at), *at)
    y = net.op("DequantizeLinear", net.op("MaxPool", net.op("QuantizeLinear", y, *at), kernel_shape=[2, 2]), *at)
    return net.output(y)


MODELS: dict[str, Callable[[], Net]] = {
    "images": images, "tokens": tokens, "generator": generator, "shapes": shapes, "quantized": quantized,
}  # fmt: skip


def damaged(model: onnx.ModelProto, rng: Rng) -> onnx.ModelProto:
    """A copy that says something else in one or two places."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    for _ in range(1 if rng.random() < 0.7 else 2):
        _pick(rng, DAMAGES)(proto, rng)
    return proto


def _pick(rng: Rng, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def _node(proto: onnx.ModelProto, rng: Rng) -> onnx.NodeProto:
    return _pick(rng, proto.graph.node) if proto.graph.node else proto.graph.node.add()


def _names(proto: onnx.ModelProto) -> list[str]:
    found = [v.name for v in (*proto.graph.input, *proto.graph.initializer, *proto.graph.output)]
    return [*found, *(name for node in proto.graph.node for name in (*node.input, *node.output)), "", "nobody"]


def attribute_value(proto: onnx.ModelProto, rng: Rng) -> None:
    having = [node for node in proto.graph.node if node.attribute]
    if not having:
        return
    attribute = _pick(rng, _pick(rng, having).attribute)
    if attribute.ints:
        attribute.ints[int(rng.integers(len(attribute.ints)))] = _pick(rng, INTEGERS)
    attribute.i, attribute.f, attribute.s = _pick(rng, INTEGERS), _pick(rng, NUMBERS), _pick(rng, TEXTS).encode()


def attribute_length(proto: onnx.ModelProto, rng: Rng) -> None:
    having = [a for node in proto.graph.node for a in node.attribute if a.ints]
    if having:
        attribute = _pick(rng, having)
        if rng.random() < 0.5:
            attribute.ints.pop()
        else:
            attribute.ints.append(_pick(rng, INTEGERS))


def attribute_type(proto: onnx.ModelProto, rng: Rng) -> None:
    having = [a for node in proto.graph.node for a in node.attribute]
    if having:
        _pick(rng, having).type = int(rng.integers(0, 15))


def attribute_gone(proto: onnx.ModelProto, rng: Rng) -> None:
    node = _node(proto, rng)
    if node.attribute:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def attribute_new(proto: onnx.ModelProto, rng: Rng) -> None:
    name = _pick(rng, ("axis", "axes", "group", "pads", "mode", "to", "perm", "blocksize", "keepdims", "ceil_mode"))
    value = _pick(rng, (_pick(rng, INTEGERS), [_pick(rng, INTEGERS)] * 2, _pick(rng, TEXTS), _pick(rng, NUMBERS)))
    _node(proto, rng).attribute.append(onnx.helper.make_attribute(name, value))


def operator(proto: onnx.ModelProto, rng: Rng) -> None:
    _node(proto, rng).op_type = _pick(rng, OPERATORS)


def domain(proto: onnx.ModelProto, rng: Rng) -> None:
    _node(proto, rng).domain = _pick(rng, ("ai.onnx", "com.microsoft", "ai.onnx.ml", "nowhere"))


def edge(proto: onnx.ModelProto, rng: Rng) -> None:
    """Another value in an input or output position; cycles among them."""
    node = _node(proto, rng)
    names = _pick(rng, (node.input, node.input, node.output))
    if names:
        names[int(rng.integers(len(names)))] = _pick(rng, _names(proto))


def edge_count(proto: onnx.ModelProto, rng: Rng) -> None:
    node = _node(proto, rng)
    names = _pick(rng, (node.input, node.output))
    if names and rng.random() < 0.5:
        names.pop()
    else:
        names.append(_pick(rng, _names(proto)))


def node_order(proto: onnx.ModelProto, rng: Rng) -> None:
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes[int(i)] for i in rng.permutation(len(nodes)))


def node_gone(proto: onnx.ModelProto, rng: Rng) -> None:
    if proto.graph.node:
        del proto.graph.node[int(rng.integers(len(proto.graph.node)))]


def node_twice(proto: onnx.ModelProto, rng: Rng) -> None:
    proto.graph.node.add().CopyFrom(_node(proto, rng))


def constant_shape(proto: onnx.ModelProto, rng: Rng) -> None:
    if proto.graph.initializer:
        held = _pick(rng, proto.graph.initializer)
        if held.dims and rng.random() < 0.7:
            held.dims[int(rng.integers(len(held.dims)))] = _pick(rng, INTEGERS)
        else:
            held.dims.append(_pick(rng, INTEGERS))


def constant_reshaped(proto: onnx.ModelProto, rng: Rng) -> None:
    """A constant that is whole and of another shape or type."""
    if proto.graph.initializer:
        held = _pick(rng, proto.graph.initializer)
        sizes = [int(n) for n in rng.integers(0, 5, rng.integers(0, 5))]
        kind = _pick(rng, (np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, np.float16))
        held.CopyFrom(onnx.numpy_helper.from_array(rng.integers(0, 4, sizes).astype(kind), held.name))


def constant_type(proto: onnx.ModelProto, rng: Rng) -> None:
    if proto.graph.initializer:
        _pick(rng, proto.graph.initializer).data_type = int(rng.integers(0, 26))


def constant_content(proto: onnx.ModelProto, rng: Rng) -> None:
    having = [held for held in proto.graph.initializer if held.raw_data]
    if having:
        held = _pick(rng, having)
        array = np.array(onnx.numpy_helper.to_array(held)) if held.data_type in (1, 7) else None
        if array is None or not array.size or rng.random() < 0.2:
            held.raw_data = held.raw_data[: int(rng.integers(len(held.raw_data)))]
            return
        array.reshape(-1)[int(rng.integers(array.size))] = _pick(rng, NUMBERS if held.data_type == 1 else INTEGERS)
        held.raw_data = array.tobytes()


def input_shape(proto: onnx.ModelProto, rng: Rng) -> None:
    dims = proto.graph.input[0].type.tensor_type.shape.dim if proto.graph.input else []
    if dims:
        dims[int(rng.integers(len(dims)))].dim_value = _pick(rng, (*SMALL, 100))


def input_type(proto: onnx.ModelProto, rng: Rng) -> None:
    if proto.graph.input:
        proto.graph.input[0].type.tensor_type.elem_type = int(rng.integers(0, 26))


def output(proto: onnx.ModelProto, rng: Rng) -> None:
    if rng.random() < 0.3:
        del proto.graph.output[:]
    else:
        proto.graph.output.add().name = _pick(rng, _names(proto))


def opset(proto: onnx.ModelProto, rng: Rng) -> None:
    proto.opset_import[0].version = int(rng.integers(-1, 30))


DAMAGES = (
    attribute_value, attribute_value, attribute_value, attribute_length, attribute_type, attribute_gone, attribute_new,
    operator, operator, domain, edge, edge, edge_count, node_order, node_gone, node_twice, constant_shape,
    constant_reshaped, constant_reshaped, constant_type, constant_content, constant_content, input_shape, input_type,
    output, opset,
)  # fmt: skip


def damaged_bytes(model: onnx.ModelProto, rng: Rng) -> bytes:
    """The file with a few other bytes, bits or pieces."""
    content = bytearray(model.SerializeToString())
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(content)))
        how = rng.integers(4)
        if how == 0:
            content[at] = int(rng.integers(256))
        elif how == 1:
            content[at] ^= 1 << int(rng.integers(8))
        elif how == 2:
            del content[at : at + int(rng.integers(1, 9))]
        else:
            content[at:at] = content[: int(rng.integers(1, 30))]
    return bytes(content)
