"""Write operators of ONNX Runtime's own domain, which its optimizer fuses, with operators of ONNX.

A row of `EXPANSIONS` is `(operator, function)`. The function inserts nodes of ONNX before the fused one and returns the
value that takes the place of its result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, rank, where
from intaglio.graph.edit import add_constant, insert, remove, replace
from intaglio.graph.infer import infer_node

_DOMAIN = "com.microsoft"
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
_SUM = 3
"""The output of the skip normalizations that holds the sum before it."""


def is_contrib(node: ir.Node) -> bool:
    """Tell whether a node is an operator that `expand_contrib` writes with others."""
    return node.op_type in EXPANSIONS and (node.domain == _DOMAIN or node.op_type == "SimplifiedLayerNormalization")


def infer_contrib(node: ir.Node, opset_imports: dict[str, int]) -> None:
    """Set the result type and shape of an operator that `expand_contrib` knows.

    Raises:
        UnsupportedOperatorError: it has other results that are read.
    """
    source, output = node.inputs[0], node.outputs[0]
    assert source is not None
    sums = node.op_type.startswith("Skip")
    for index, other in enumerate(node.outputs):
        if index and other.name and (other.uses() or other.is_graph_output()) and not (sums and index == _SUM):
            raise UnsupportedOperatorError(
                f"{where(node)} expected that its first result alone is read, got a reader of '{other.name}'; save the "
                "model with a lower optimization level"
            )
        other.shape, other.type = source.shape, source.type
    if node.op_type in _PRODUCTS:
        count, op_type, kept = _PRODUCTS[node.op_type]
        inputs: list[ir.Value | None] = []
        for index, value in enumerate(node.inputs[:count]):
            turned = attribute(node, ("transA", "transB")[index], 0) if node.op_type == "FusedMatMul" else 0
            inputs.append(None if value is None else _twin(value, f"operand_{index}", turned=bool(turned)))
        given = [found for name, found in node.attributes.items() if name in kept]
        twin = ir.Node("", op_type, inputs, given, name=node.name, num_outputs=1)
        twin.outputs[0].name = output.name
        infer_node(twin, opset_imports)
        output.shape, output.type = twin.outputs[0].shape, twin.outputs[0].type


def _twin(value: ir.Value, name: str, *, turned: bool) -> ir.Value:
    sizes = None if value.shape is None else list(value.shape.dims)
    if turned and sizes is not None:
        sizes[-2:] = sizes[:-3:-1]
    return ir.Value(name=name, shape=None if sizes is None else ir.Shape(sizes), type=value.type)


def expand_contrib(graph: ir.Graph) -> None:
    """Write every such operator with operators of ONNX.

    Args:
        graph: static shapes, in the normal opset.
    """
    for node in list(graph):
        if not is_contrib(node):
            continue
        replace(node.outputs[0], EXPANSIONS[node.op_type](graph, node))
        remove(graph, node)


def _put(
    graph: ir.Graph,
    node: ir.Node,
    op_type: str,
    *inputs: ir.Value | None,
    attributes: Mapping[str, object] | None = None,
) -> ir.Value:
    given: dict[str, object] = dict(attributes or {})
    return insert(graph, node, op_type, inputs, given, name=f"{node.name}.{op_type.lower()}").outputs[0]  # type: ignore[arg-type]


def _number(graph: ir.Graph, node: ir.Node, role: str, number: float) -> ir.Value:
    return add_constant(graph, f"{node.name}.{role}", np.array(number, np.float32))


def _gelu(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """Gelu, FastGelu and BiasGelu: gelu(x + bias), exact or with tanh."""
    bias = input_value(node, 1)
    x = node.inputs[0] if bias is None else _put(graph, node, "Add", node.inputs[0], bias)
    form = "tanh" if node.op_type == "FastGelu" else "none"
    return _put(graph, node, "Gelu", x, attributes={"approximate": form})


def _quick_gelu(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """x sigmoid(alpha x)."""
    alpha = _number(graph, node, "alpha", float(attribute(node, "alpha", 1.702)))
    gate = _put(graph, node, "Sigmoid", _put(graph, node, "Mul", node.inputs[0], alpha))
    return _put(graph, node, "Mul", node.inputs[0], gate)


def _matmul(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """alpha A B, each perhaps transposed in its last two axes."""
    if attribute(node, "transBatchA", 0) or attribute(node, "transBatchB", 0):
        raise UnsupportedOperatorError(
            f"{where(node)} expected batches in front, got transBatchA or transBatchB; save the model with a lower "
            "optimization level"
        )
    operands = []
    for index, name in enumerate(("transA", "transB")):
        value = node.inputs[index]
        array = constant(value)
        turned = attribute(node, name, 0) and rank(value) > 1
        if turned and array is not None:
            value = add_constant(graph, str(value and value.name), array.swapaxes(-1, -2))
        elif turned:
            axes = list(range(rank(value)))
            axes[-2:] = axes[:-3:-1]
            value = _put(graph, node, "Transpose", value, attributes={"perm": axes})
        operands.append(value)
    product, alpha = _put(graph, node, "MatMul", *operands), float(attribute(node, "alpha", 1.0))
    return product if alpha == 1 else _put(graph, node, "Mul", product, _number(graph, node, "alpha", alpha))


def _conv(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """A convolution, the sum with a fourth operand, and an activation."""
    given = {name: attribute(node, name) for name in _CONV if name in node.attributes}
    y = _put(graph, node, "Conv", *node.inputs[:3], attributes=given)
    other = input_value(node, 3)
    if other is not None:
        y = _put(graph, node, "Add", y, other)
    return _activated(graph, node, y, [float(p) for p in attribute(node, "activation_params", ())])


def _gemm(graph: ir.Graph, node: ir.Node) -> ir.Value:
    given = {name: attribute(node, name) for name in ("alpha", "beta", "transA", "transB") if name in node.attributes}
    y = _put(graph, node, "Gemm", *node.inputs[:3], attributes=given)
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    return _activated(graph, node, y, [float(attribute(node, name)) for name in names if name in node.attributes])


def _activated(graph: ir.Graph, node: ir.Node, y: ir.Value, numbers: list[float]) -> ir.Value:
    kind = str(attribute(node, "activation", ""))
    if kind == "Clip":
        return _put(graph, node, "Clip", y, *(_number(graph, node, f"bound_{i}", n) for i, n in enumerate(numbers)))
    if kind in _ACTIVATIONS:
        return _put(graph, node, kind, y, attributes=dict(zip(_ACTIVATIONS[kind], numbers, strict=False)))
    if kind:
        raise UnsupportedOperatorError(
            f"{where(node)} expected an activation among Clip, {', '.join(_ACTIVATIONS)}, got {kind}; save the model "
            "with a lower optimization level"
        )
    return y


def _skip_norm(graph: ir.Graph, node: ir.Node) -> ir.Value:
    """Normalize the sum of two or three operands; the sum may be read, too."""
    simple = node.op_type == "SkipSimplifiedLayerNormalization"
    total = _put(graph, node, "Add", *node.inputs[:2])
    bias = input_value(node, 3 if simple else 4)
    if bias is not None:
        total = _put(graph, node, "Add", total, bias)
    if len(node.outputs) > _SUM and node.outputs[_SUM].name:
        replace(node.outputs[_SUM], total)
    given = {"axis": -1, "epsilon": float(attribute(node, "epsilon", 1e-12))}
    if simple:
        return _put(graph, node, "RMSNormalization", total, node.inputs[2], attributes=given)
    return _put(graph, node, "LayerNormalization", total, node.inputs[2], input_value(node, 3), attributes=given)


def _simple_norm(graph: ir.Graph, node: ir.Node) -> ir.Value:
    given = {"axis": int(attribute(node, "axis", -1)), "epsilon": float(attribute(node, "epsilon", 1e-5))}
    return _put(graph, node, "RMSNormalization", *node.inputs[:2], attributes=given)


_ACTIVATIONS = {
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
_PRODUCTS = {
    "FusedConv": (3, "Conv", _CONV),
    "FusedGemm": (3, "Gemm", ("alpha", "beta", "transA", "transB")),
    "FusedMatMul": (2, "MatMul", ()),
}
"""How many inputs the product takes, its operator in ONNX, and the attributes that they share."""

EXPANSIONS: dict[str, Callable[[ir.Graph, ir.Node], ir.Value]] = {
    "BiasGelu": _gelu,
    "FastGelu": _gelu,
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gelu": _gelu,
    "QuickGelu": _quick_gelu,
    "SimplifiedLayerNormalization": _simple_norm,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
}
