"""One way to say it: Sub and Div by constants, Min and Max with constants, squares, sums of several, axis changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, shape, single_consumer, where
from intaglio.graph.edit import add_constant, insert, remove, remove_unread, replace, set_attribute, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.pattern import equals, keeps_shape

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
    """Whether the input at `index` is a constant and the other one of two is computed."""
    first, second = node.inputs[index], node.inputs[1 - index]
    return first is not None and second is not None and first.is_initializer() and not second.is_initializer()


def _constant_second(graph: ir.Graph, node: ir.Node) -> str | None:
    """c + x -> x + c, c * x -> x * c: not worth a word in the history, but patterns rely on it."""
    if len(node.inputs) == 2 and _other_is_constant(node, 0):
        first, second = node.inputs
        node.replace_input_with(0, second)
        node.replace_input_with(1, first)
    return None


def _sub(graph: ir.Graph, node: ir.Node) -> str | None:
    """X - c -> x + (-c);   c - x -> -x + c."""
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
    """X / c -> x * (1 / c);   c / x -> 1/x * c."""
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
        inverse = insert(graph, node, "Reciprocal", [denominator], name=f"{node.name}.reciprocal")
        node.op_type = "Mul"
        node.replace_input_with(0, inverse.outputs[0])
        node.replace_input_with(1, numerator)
        return "Reciprocal and Mul"
    return None


def _square(graph: ir.Graph, node: ir.Node) -> str | None:
    """X * x -> x ** 2."""
    if node.inputs[0] is not node.inputs[1]:
        return None
    two = add_constant(graph, f"{node.name}.exponent", np.array(2.0, dtype=np.float32))
    node.op_type = "Pow"
    node.replace_input_with(1, two)
    return "Pow 2"


def _double(graph: ir.Graph, node: ir.Node) -> str | None:
    """X + x -> x * 2."""
    if node.inputs[0] is not node.inputs[1] or node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    two = add_constant(graph, f"{node.name}.factor", np.array(2.0, dtype=np.float32))
    node.op_type = "Mul"
    node.replace_input_with(1, two)
    return "Mul by 2"


def _pow(graph: ir.Graph, node: ir.Node) -> str | None:
    """X ** 0.5 -> Sqrt,   x ** -1 -> Reciprocal."""
    exponent = constant(input_value(node, 1))
    for value, op_type in ((0.5, "Sqrt"), (-1.0, "Reciprocal")):
        if equals(exponent, value, 0.0) and node.inputs[0] is not None and keeps_shape(node, node.inputs[0]):
            _drop_inputs(graph, node, 1)
            node.op_type = op_type
            return op_type
    return None


def _drop_inputs(graph: ir.Graph, node: ir.Node, keep: int) -> None:
    gone = [value for value in node.inputs[keep:] if value is not None]
    node.resize_inputs(keep)
    for value in gone:
        if value.is_initializer() and not value.uses():
            graph.initializers.pop(str(value.name), None)


def _bound(graph: ir.Graph, node: ir.Node) -> str | None:
    """Min(x, c), Max(x, c) with one number c -> Clip."""
    if len(node.inputs) != 2 or not _other_is_constant(node, 1) or node.outputs[0].dtype != ir.DataType.FLOAT:
        return None
    array = constant(node.inputs[1])
    source = node.inputs[0]
    assert array is not None
    assert source is not None
    if not keeps_shape(node, source) or not np.all(array == array.ravel()[0]):
        return None
    bound = add_constant(graph, f"{node.name}.bound", np.array(array.ravel()[0], dtype=np.float32))
    lower = node.op_type == "Max"
    _drop_inputs(graph, node, 1)
    node.resize_inputs(2 if lower else 3)
    node.replace_input_with(1 if lower else 2, bound)
    node.op_type = "Clip"
    return "Clip"


def _clip(graph: ir.Graph, node: ir.Node) -> str | None:
    """Clip(x, 0, inf) -> Relu; infinite bounds are left out."""
    low, high = constant(input_value(node, 1)), constant(input_value(node, 2))
    if input_value(node, 2) is not None and high is None:
        return None
    if high is not None and np.all(high == np.inf):
        _drop_inputs(graph, node, 2)
        high = None
    if low is not None and np.all(low == -np.inf) and high is not None:
        bound = node.inputs[1]
        assert bound is not None
        node.replace_input_with(1, None)
        graph.initializers.pop(str(bound.name), None)
        return "Clip with an upper bound only"
    if high is None and equals(low, 0.0, 0.0) and node.outputs[0].dtype == ir.DataType.FLOAT:
        _drop_inputs(graph, node, 1)
        node.op_type = "Relu"
        return "Relu"
    return None


def _several(graph: ir.Graph, node: ir.Node) -> str | None:
    """Sum, Mean, Min and Max of several values -> pairs of them."""
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


def _reshape(graph: ir.Graph, node: ir.Node) -> str | None:
    """Flatten, Squeeze and Unsqueeze -> Reshape to sizes that are all known."""
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if source and target and source[0] == target[0]:
        target[0] = 0
    _drop_inputs(graph, node, 1)
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    return f"Reshape to {tuple(shape(node.outputs[0]))}"


def _reduce(graph: ir.Graph, node: ir.Node) -> str | None:
    """ReduceMean, ReduceMax over all spatial axes of an image -> GlobalAveragePool, GlobalMaxPool."""
    axes = constant(input_value(node, 1))
    sizes = shape(node.inputs[0])
    if axes is None or len(sizes) < 4 or sorted(int(axis) for axis in axes) != list(range(2, len(sizes))):
        return None
    pool = "GlobalAveragePool" if node.op_type == "ReduceMean" else "GlobalMaxPool"
    return _global_pool(graph, node, pool)


def _global_pool(graph: ir.Graph, node: ir.Node, pool: str) -> str:
    """The node becomes a global pool; a Reshape takes the spatial axes away where the node did."""
    result = node.outputs[0]
    sizes = shape(node.inputs[0])
    if shape(result) == (*sizes[:2], *[1] * (len(sizes) - 2)):
        _drop_inputs(graph, node, 1)
        node.op_type = pool
        node.attributes.clear()
        return pool
    pooled = insert(graph, node, pool, [node.inputs[0]], name=f"{node.name}.pool")
    target = [0 if shape(result)[:1] == sizes[:1] else shape(result)[0], *shape(result)[1:]]
    _drop_inputs(graph, node, 1)
    node.op_type = "Reshape"
    node.attributes.clear()
    node.resize_inputs(2)
    node.replace_input_with(0, pooled.outputs[0])
    node.replace_input_with(1, add_constant(graph, f"{node.name}.shape", np.array(target, dtype=np.int64)))
    return f"{pool} and Reshape"


def _pool(graph: ir.Graph, node: ir.Node) -> str | None:
    """A pool whose one window is the whole image -> GlobalAveragePool, GlobalMaxPool."""
    sizes = shape(node.inputs[0])
    whole = tuple(attribute(node, "kernel_shape")) == sizes[2:] and shape(node.outputs[0])[2:] == (1,) * (
        len(sizes) - 2
    )
    if not whole or any(attribute(node, "pads")) or set(attribute(node, "dilations")) - {1} or len(node.outputs) > 1:
        return None
    node.attributes.clear()
    node.op_type = "Global" + node.op_type
    return node.op_type


def _softmax_of_log(graph: ir.Graph, node: ir.Node) -> str | None:
    """Log(Softmax(x)) -> LogSoftmax(x)."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if source is None or producer is None or producer.op_type != "Softmax" or len(source.uses()) != 1:
        return None
    if source.is_graph_output():
        return None
    fused = insert(
        graph,
        node,
        "LogSoftmax",
        [producer.inputs[0]],
        {"axis": attribute(producer, "axis")},
        name=str(node.name) + ".logsoftmax",
    )
    replace(graph, node.outputs[0], fused.outputs[0])
    remove(graph, node, producer)
    return "LogSoftmax"


def _neg_of_constant_factor(graph: ir.Graph, node: ir.Node) -> str | None:
    """-x -> x * -1 where x is a product or sum with a constant, which takes the sign in."""
    source = node.inputs[0]
    producer = source.producer() if source is not None else None
    if producer is None or producer.op_type not in ("Mul", "Add", "Conv", "ConvTranspose", "Gemm", "MatMul"):
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
    """PRelu with one slope for all -> LeakyRelu."""
    slope = constant(input_value(node, 1))
    if slope is None or slope.size == 0 or not np.all(slope == slope.ravel()[0]):
        return None
    if node.inputs[0] is None or not keeps_shape(node, node.inputs[0]):
        return None
    _drop_inputs(graph, node, 1)
    node.op_type = "LeakyRelu"
    set_attribute(node, "alpha", float(slope.ravel()[0]))
    return "LeakyRelu"


def _gather(graph: ir.Graph, node: ir.Node) -> str | None:
    """Gather of evenly spaced indices, also of a single one -> Slice (and a Reshape where an axis goes)."""
    indices = constant(input_value(node, 1))
    source = node.inputs[0]
    if indices is None or source is None or source.is_initializer() or indices.ndim > 1 or indices.size == 0:
        return None
    axis = int(attribute(node, "axis", 0))
    size = shape(source)[axis]
    flat = [int(index) % size for index in indices.ravel()]
    steps = {b - a for a, b in zip(flat, flat[1:], strict=False)} or {1}
    step = steps.pop()
    if steps or step < 1:
        return None
    columns = ("starts", flat[0]), ("ends", flat[-1] + 1), ("axes", axis), ("steps", step)
    inputs = [
        add_constant(graph, f"{node.name}.{role}", np.array([number], dtype=np.int64)) for role, number in columns
    ]
    if indices.ndim == 1:
        _drop_inputs(graph, node, 1)
        node.op_type = "Slice"
        node.attributes.clear()
        node.resize_inputs(5)
        for position, value in enumerate(inputs, start=1):
            node.replace_input_with(position, value)
        return "Slice"
    cut = insert(graph, node, "Slice", [source, *inputs], name=f"{node.name}.slice")
    node.replace_input_with(0, cut.outputs[0])
    _reshape(graph, node)
    return "Slice and Reshape"


def _concat_of_constants(graph: ir.Graph, node: ir.Node) -> str | None:
    """A value with constants at its ends, to which a constant is added -> Pad and Add.

    Transformers put a class token in front of the others and add positions to all. As part of the sum the token is
    there for every sample of a batch.
    """
    following = single_consumer(node.outputs[0])
    computed = [index for index, value in enumerate(node.inputs) if value is not None and not value.is_initializer()]
    if len(computed) != 1 or len(node.inputs) == 1 or following is None or following.op_type != "Add":
        return None
    addend = constant(input_value(following, 1))
    if addend is None or addend.dtype != np.float32 or not keeps_shape(following, node.outputs[0]):
        return None
    axis, source = int(attribute(node, "axis")), node.inputs[computed[0]]
    arrays = [constant(value) for value in node.inputs]
    parts = [np.zeros(shape(source), np.float32) if array is None else array for array in arrays]
    total = np.concatenate(parts, axis=axis) + addend
    if shape(source)[0] != 1:  # another row for each sample
        return None
    pads = np.zeros((2, total.ndim), dtype=np.int64)
    pads[0, axis] = sum(part.shape[axis] for part in parts[: computed[0]])
    pads[1, axis] = sum(part.shape[axis] for part in parts[computed[0] + 1 :])
    addend_value = following.inputs[1]
    assert addend_value is not None
    set_constant(addend_value, total)
    _drop_inputs(graph, node, 0)
    node.resize_inputs(2)
    node.replace_input_with(0, source)
    node.replace_input_with(1, add_constant(graph, f"{node.name}.pads", pads.ravel()))
    node.op_type = "Pad"
    node.attributes.clear()
    set_attribute(node, "mode", "constant")
    return f"Pad, its constants added in {where(following)}"


def _without_expand(graph: ir.Graph, node: ir.Node) -> str | None:
    """An Expand in front of an operator that broadcasts anyway."""
    for index, value in enumerate(node.inputs):
        producer = value.producer() if value is not None else None
        if producer is None or producer.op_type != "Expand" or producer.domain:
            continue
        others = [shape(other) for position, other in enumerate(node.inputs) if position != index]
        if np.broadcast_shapes(shape(producer.inputs[0]), *others) == shape(node.outputs[0]):
            node.replace_input_with(index, producer.inputs[0])
            remove_unread(graph)
            return f"{node.op_type} without {where(producer)}"
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "Add": (_constant_second, _double, _without_expand),
    "AveragePool": (_pool,),
    "Clip": (_clip,),
    "Concat": (_concat_of_constants,),
    "Div": (_div, _without_expand),
    "Flatten": (_reshape,),
    "Gather": (_gather,),
    "Log": (_softmax_of_log,),
    "Max": (_several, _constant_second, _bound),
    "MaxPool": (_pool,),
    "Mean": (_several,),
    "Min": (_several, _constant_second, _bound),
    "Mul": (_constant_second, _square, _without_expand),
    "Neg": (_neg_of_constant_factor,),
    "PRelu": (_leaky,),
    "Pow": (_pow,),
    "ReduceMax": (_reduce,),
    "ReduceMean": (_reduce,),
    "Squeeze": (_reshape,),
    "Sub": (_sub, _without_expand),
    "Sum": (_several,),
    "Unsqueeze": (_reshape,),
}
