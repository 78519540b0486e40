"""Bring equivalent nodes to one form: Sub, Div, Min and Max with constants, squares, sums of several values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, where
from intaglio.graph.edit import (
    add_constant,
    bypass,
    can_bypass,
    drop_inputs,
    insert,
    remove,
    remove_unread_before,
    rename,
    replace,
    set_attribute,
    set_constant,
)
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts, named
from intaglio.graph.pattern import equals, keeps_shape

AFFINE = named("affine") & named("commutative")
"""What is left of x + c, x - c, c x and x / c: Add and Mul, the constant second."""

Rule = Callable[[ir.Graph, ir.Node], str | None]


def canonicalize(graph: Graph) -> list[str]:
    """Rewrite each node that has a simpler equal form; a row of `RULES` returns what it became."""
    changes = []
    for node in graph.nodes:
        if node.domain:
            continue
        before = where(node)
        for rule in RULES.get(node.op_type, ()):
            result = rule(graph.model.graph, node)
            if result is not None:
                changes.append(f"{before} written as {result}")
                break
    return changes


def _other_is_constant(node: ir.Node, index: int) -> bool:
    """Tell whether the input at `index` is a constant and the other one of two is computed."""
    first, second = node.inputs[index], node.inputs[1 - index]
    return first is not None and second is not None and first.is_initializer() and not second.is_initializer()


def _constant_second(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite c + x -> x + c, c * x -> x * c: patterns rely on it; the history does not mention it."""
    if len(node.inputs) == 2 and _other_is_constant(node, 0):
        first, second = node.inputs
        node.replace_input_with(0, second)
        node.replace_input_with(1, first)
    return None


def _sub(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite x - c -> x + (-c);   c - x -> -x + c."""
    if node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    if _other_is_constant(node, 1):
        value = node.inputs[1]
        array = constant(value)
        assert value is not None
        assert array is not None
        set_constant(value, -array)
        node.op_type = "Add"
        return "Add of the negated constant"
    if _other_is_constant(node, 0) and node.inputs[1] is not None:
        minus = add_constant(graph, f"{node.name}.minus", np.array(-1.0, dtype=np.float32))
        negated = insert(graph, node, "Mul", [node.inputs[1], minus], name=f"{node.name}.negate")
        offset = node.inputs[0]
        node.op_type = "Add"
        node.replace_input_with(0, negated.outputs[0])
        node.replace_input_with(1, offset)
        return "Mul by -1 and Add"
    return None


def _div(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite x / c -> x * (1 / c);   c / x -> 1/x * c."""
    if node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    if _other_is_constant(node, 1):
        value = node.inputs[1]
        array = constant(value)
        assert value is not None
        assert array is not None
        if not array.all():
            return None
        set_constant(value, (1.0 / array.astype(np.float64)).astype(np.float32))
        node.op_type = "Mul"
        return "Mul by the reciprocal constant"
    if _other_is_constant(node, 0):
        numerator, denominator = node.inputs
        ones = constant(numerator)
        if equals(ones, 1.0, 0.0) and denominator is not None and keeps_shape(node, denominator):
            node.replace_input_with(0, denominator)
            drop_inputs(graph, node, 1)
            if numerator is not None and not numerator.uses():
                graph.initializers.pop(str(numerator.name), None)
            node.op_type = "Reciprocal"
            return "Reciprocal"
        inverse = insert(graph, node, "Reciprocal", [denominator], name=f"{node.name}.reciprocal")
        node.op_type = "Mul"
        node.replace_input_with(0, inverse.outputs[0])
        node.replace_input_with(1, numerator)
        return "Reciprocal and Mul"
    return None


def _square(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite x * x -> x ** 2."""
    if node.inputs[0] is not node.inputs[1]:
        return None
    two = add_constant(graph, f"{node.name}.exponent", np.array(2.0, dtype=np.float32))
    node.op_type = "Pow"
    node.replace_input_with(1, two)
    return "Pow 2"


def _double(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite x + x -> x * 2."""
    if node.inputs[0] is not node.inputs[1] or node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    two = add_constant(graph, f"{node.name}.factor", np.array(2.0, dtype=np.float32))
    node.op_type = "Mul"
    node.replace_input_with(1, two)
    return "Mul by 2"


def _pow(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite x ** 0.5 -> Sqrt,   x ** -1 -> Reciprocal."""
    exponent = constant(input_value(node, 1))
    for value, op_type in ((0.5, "Sqrt"), (-1.0, "Reciprocal")):
        if equals(exponent, value, 0.0) and node.inputs[0] is not None and keeps_shape(node, node.inputs[0]):
            drop_inputs(graph, node, 1)
            node.op_type = op_type
            return op_type
    return None


def _bound(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Min(x, c), Max(x, c) with one number c -> Clip."""
    if len(node.inputs) != 2 or node.outputs[0].dtype != ir.DataType.FLOAT or not _other_is_constant(node, 1):
        return None
    array = constant(node.inputs[1])
    source = node.inputs[0]
    assert array is not None
    assert source is not None
    if not keeps_shape(node, source) or not np.all(array == array.ravel()[0]):
        return None
    bound = add_constant(graph, f"{node.name}.bound", np.array(array.ravel()[0], dtype=np.float32))
    lower = node.op_type == "Max"
    drop_inputs(graph, node, 1)
    node.resize_inputs(2 if lower else 3)
    node.replace_input_with(1 if lower else 2, bound)
    node.op_type = "Clip"
    return "Clip"


def _clip(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Clip(x, 0, inf) -> Relu, and drop infinite bounds."""
    low, high = constant(input_value(node, 1)), constant(input_value(node, 2))
    if input_value(node, 2) is not None and high is None:
        return None
    if high is not None and np.all(high == np.inf):
        drop_inputs(graph, node, 2)
        high = None
    if low is not None and np.all(low == -np.inf) and high is not None:
        bound = node.inputs[1]
        assert bound is not None
        node.replace_input_with(1, None)
        graph.initializers.pop(str(bound.name), None)
        return "Clip with an upper bound only"
    if high is None and equals(low, 0.0, 0.0) and node.outputs[0].dtype == ir.DataType.FLOAT:
        drop_inputs(graph, node, 1)
        node.op_type = "Relu"
        return "Relu"
    return None


def _several(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Sum, Mean, Min and Max of several values -> pairs of them."""
    pair = {"Sum": "Add", "Mean": "Add"}.get(node.op_type, node.op_type)
    count = len(node.inputs)
    if count < 2 or (count == 2 and pair == node.op_type):
        return None
    before = node.op_type
    running = node.inputs[0]
    last = count - 1 if before != "Mean" else count
    for index in range(1, last):
        step = insert(graph, node, pair, [running, node.inputs[index]], name=f"{node.name}.{index}")
        running = step.outputs[0]
    if before == "Mean":
        share = add_constant(graph, f"{node.name}.share", np.array(1.0 / count, dtype=np.float32))
        final: list[ir.Value | None] = [running, share]
        node.op_type = "Mul"
    else:
        final = [running, node.inputs[count - 1]]
        node.op_type = pair
    node.resize_inputs(2)
    for index, value in enumerate(final):
        node.replace_input_with(index, value)
    return f"{pair} of pairs"


def _inside(node: ir.Node, op_type: str) -> ir.Node | None:
    """Find the node of a type that computes what a node reads, and that nothing else reads."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if source is None or producer is None or producer.op_type != op_type or len(source.uses()) != 1:
        return None
    return None if source.is_graph_output() else producer


def _other_softmax(before: str, after: str) -> Rule:
    """Rewrite Log(Softmax(x)) -> LogSoftmax(x) and Exp(LogSoftmax(x)) -> Softmax(x)."""

    def rule(graph: ir.Graph, node: ir.Node) -> str | None:
        producer = _inside(node, before)
        if producer is None:
            return None
        axis = {"axis": attribute(producer, "axis", -1)}
        fused = insert(graph, node, after, [producer.inputs[0]], axis, name=f"{node.name}.{after.lower()}")
        replace(node.outputs[0], fused.outputs[0])
        remove(graph, node, producer)
        return after

    return rule


def _log_of_sigmoid(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite Log(Sigmoid(x)) -> -Softplus(-x), which is finite at -100 and needs no grid for numbers near 1."""
    producer = _inside(node, "Sigmoid")
    if producer is None:
        return None
    minus = insert(graph, node, "Neg", [producer.inputs[0]], name=f"{node.name}.minus")
    softplus = insert(graph, node, "Softplus", [minus.outputs[0]], name=f"{node.name}.softplus")
    result = insert(graph, node, "Neg", [softplus.outputs[0]], name=f"{node.name}.negate")
    replace(node.outputs[0], result.outputs[0])
    remove(graph, node, producer)
    return "-Softplus(-x)"


def _kept_axes(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite a reduction whose axes are dropped and put back with size 1 -> one that keeps them.

    Means of images over all of their space stay: `make_global_pool` would round them by another rule.
    """
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if source is None or producer is None or not facts(producer.op_type).reduces or attribute(producer, "keepdims", 1):
        return None
    axes, size = constant(input_value(producer, 1)), shape(producer.inputs[0])
    if axes is None or not axes.size or len(source.uses()) != 1 or not can_bypass(node):
        return None
    dropped = {int(axis) % len(size) for axis in axes}
    kept = tuple(1 if axis in dropped else n for axis, n in enumerate(size))
    if dropped == set(range(2, len(size))):
        return None
    if shape(node.outputs[0]) != kept or source.is_graph_output():
        return None
    set_attribute(producer, "keepdims", 1)
    source.shape = ir.Shape(kept)
    name = str(node.outputs[0].name)
    bypass(graph, node)
    if not source.is_graph_output():
        rename(source, name)
    return f"{where(producer)} that keeps its axes"


def _mean_of_sum(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite sum / n -> mean."""
    producer = _inside(node, "ReduceSum")
    number, axes = constant(input_value(node, 1)), constant(input_value(producer, 1)) if producer is not None else None
    if producer is None or number is None or number.size != 1 or axes is None or not axes.size:
        return None
    count = math.prod(shape(producer.inputs[0])[int(axis)] for axis in axes)
    source = node.inputs[0]
    assert source is not None
    if not equals(number, 1.0 / count, 1e-7) or not keeps_shape(node, source):
        return None
    producer.op_type = "ReduceMean"
    replace(node.outputs[0], source)
    remove(graph, node)
    return "ReduceMean"


def _neg_of_constant_factor(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite -x -> x * -1 where x is a product or sum with a constant, which absorbs the sign."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if producer is None or not (producer.op_type in AFFINE or facts(producer.op_type).product):
        return None
    if source is None or len(source.uses()) != 1 or source.is_graph_output():
        return None
    if len(producer.inputs) < 2 or producer.inputs[1] is None or not producer.inputs[1].is_initializer():
        return None
    node.op_type = "Mul"
    node.resize_inputs(2)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.minus", np.array(-1.0, dtype=np.float32)))
    return "Mul by -1"


def _leaky(graph: ir.Graph, node: ir.Node) -> str | None:
    """Rewrite PRelu with one slope for all -> LeakyRelu."""
    slope = constant(input_value(node, 1))
    if slope is None or slope.size == 0 or not np.all(slope == slope.ravel()[0]):
        return None
    if node.inputs[0] is None or not keeps_shape(node, node.inputs[0]):
        return None
    drop_inputs(graph, node, 1)
    node.op_type = "LeakyRelu"
    set_attribute(node, "alpha", float(slope.ravel()[0]))
    return "LeakyRelu"


def _without_expand(graph: ir.Graph, node: ir.Node) -> str | None:
    """Remove an Expand in front of an operator that broadcasts anyway."""
    for index, value in enumerate(node.inputs):
        producer = value.producer() if value is not None else None
        if producer is None or producer.op_type != "Expand" or producer.domain:
            continue
        others = [shape(other) for position, other in enumerate(node.inputs) if position != index]
        if np.broadcast_shapes(shape(producer.inputs[0]), *others) == shape(node.outputs[0]):
            node.replace_input_with(index, producer.inputs[0])
            remove_unread_before(graph, producer)
            return f"{node.op_type} without {where(producer)}"
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "Add": (_constant_second, _double, _without_expand),
    "Clip": (_clip,),
    "Div": (_div, _without_expand),
    "Exp": (_other_softmax("LogSoftmax", "Softmax"),),
    "Log": (_other_softmax("Softmax", "LogSoftmax"), _log_of_sigmoid),
    "Max": (_several, _constant_second, _bound),
    "Mean": (_several,),
    "Min": (_several, _constant_second, _bound),
    "Mul": (_constant_second, _square, _mean_of_sum, _without_expand),
    "Neg": (_neg_of_constant_factor,),
    "PRelu": (_leaky,),
    "Pow": (_pow,),
    "Reshape": (_kept_axes,),
    "Sub": (_sub, _without_expand),
    "Sum": (_several,),
    "Unsqueeze": (_kept_axes,),
}
