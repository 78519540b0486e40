"""Find out whether a graph treats its samples one by one: axis 0 is the batch everywhere, and no operator mixes it.

The question is answered by induction along the graph. Each rule below says, for one operator whose computed inputs
all carry the batch in axis 0, whether sample i of the output depends on sample i of the inputs only.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, rank, shape, where
from intaglio.graph.operators import named
from intaglio.graph.time_loops import GATES, is_loop

Rule = Callable[[ir.Node], bool]


def first_batch_mixer(graph: ir.Graph) -> str | None:
    """Say why a graph cannot be run on any number of samples at once; None where it can.

    Args:
        graph: static shapes; the batch is axis 0 of every input, with one size for all.
    Returns:
        A sentence that names the first node or value at fault.
    """
    if _FIXED in graph.metadata_props:
        return graph.metadata_props[_FIXED]
    sizes = {shape(value)[:1] for value in graph.inputs}
    if len(sizes) != 1 or sizes == {()}:
        return f"the inputs do not share one size of axis 0: {sorted(sizes)}"
    for node in graph:
        if node.op_type in _DEQUANTIZES and all(value is None or value.is_initializer() for value in node.inputs):
            continue  # a quantized weight
        rule = RULES.get(node.op_type)
        if rule is None:
            return f"{where(node)} is not known to keep samples apart"
        if not rule(node):
            return f"{where(node)} mixes samples or moves the batch away from axis 0"
        for output in node.outputs:
            if output.name and shape(output)[:1] not in sizes:
                return f"{where(node)} changes the size of axis 0"
    return None


def fix_batch(graph: ir.Graph, why: str) -> None:
    """Mark a graph as right for its own size of axis 0 only."""
    graph.metadata_props[_FIXED] = why


def first_difference(one: ir.Graph, other: ir.Graph, *, but_for_shapes: bool = False) -> str | None:
    """Find the first node in which two graphs compute something different, names aside; None where they are the same.

    Args:
        one: in topological order, as is `other`.
        other: the graph to compare with.
        but_for_shapes: look through operators that change nothing but shapes.
    """
    skipped = _SHAPE_ONLY if but_for_shapes else frozenset[str]()
    rows = [_described(graph, skipped) for graph in (one, other)]
    for left, right in zip_longest(*rows):
        if left is None or right is None or left[1] != right[1]:
            found = left or right
            assert found is not None
            return found[0]
    return None


_FIXED = "intaglio.batch"
_SHAPE_ONLY = named("reshapes") | {"Expand", "Identity"}


def _described(graph: ir.Graph, skipped: frozenset[str]) -> list[tuple[str, object]]:
    """Describe each node by what it computes and its operands; the outputs come last."""
    known: dict[ir.Value, object] = {value: ("input", index) for index, value in enumerate(graph.inputs)}

    def source(value: ir.Value | None) -> object:
        array = constant(value)
        if value is None or array is None:
            return None if value is None else known[value]
        return (str(array.dtype), () if skipped else array.shape, array.tobytes())

    rows: list[tuple[str, object]] = []
    for node in graph:
        if node.op_type in skipped and not node.domain:
            known[node.outputs[0]] = source(node.inputs[0])
            continue
        known.update({output: ("node", len(rows), index) for index, output in enumerate(node.outputs)})
        attributes = {name: _plain(attribute(node, name)) for name in sorted(node.attributes)}
        rows.append((where(node), (node.domain, node.op_type, attributes, [source(value) for value in node.inputs])))
    rows.append(("an output", [source(value) for value in graph.outputs]))
    return rows


def _plain(value: object) -> object:
    return value.tobytes() if isinstance(value, np.ndarray) else value


_DEQUANTIZES = {"DequantizeLinear"}


def _is_fixed(value: ir.Value) -> bool:
    """Tell whether a value is the same for every sample: a constant, or a dequantized constant."""
    node = value.producer()
    if node is not None and node.op_type in _DEQUANTIZES:
        return all(source is None or source.is_initializer() for source in node.inputs)
    return value.is_initializer()


def _computed(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and not _is_fixed(value)]


def _only_data(node: ir.Node) -> bool:
    """Require that the first input carries the batch and every other one is a constant."""
    return all(value is None or _is_fixed(value) for value in node.inputs[1:])


def _broadcast(node: ir.Node) -> bool:
    """Require full rank of computed operands, and size 1 or no axis along the batch of constants."""
    full = rank(node.outputs[0])
    for value in node.inputs:
        if value is None:
            continue
        if not _is_fixed(value):
            if rank(value) != full:
                return False
        elif full and rank(value) == full and shape(value)[0] != 1:
            return False
    return True


def _axis(name: str, default: int) -> Rule:
    def rule(node: ir.Node) -> bool:
        axis = int(attribute(node, name, default))
        return _only_data(node) and axis % rank(node.inputs[0]) != 0

    return rule


def _concat(node: ir.Node) -> bool:
    return all(not _is_fixed(value) for value in node.inputs if value is not None) and (
        int(attribute(node, "axis", 0)) % rank(node.outputs[0]) != 0
    )


def _axes_input(index: int) -> Rule:
    """Check axes given as a constant input; without it, all axes are meant."""

    def rule(node: ir.Node) -> bool:
        axes = constant(input_value(node, index))
        if axes is None or axes.size == 0:
            return False
        full = max(rank(node.inputs[0]), rank(node.outputs[0]))
        return _only_data(node) and all(int(axis) % full != 0 for axis in axes.ravel())

    return rule


def _reduce(node: ir.Node) -> bool:
    axes = constant(input_value(node, 1))
    if (axes is None or axes.size == 0) and attribute(node, "noop_with_empty_axes", 0):
        return True
    return _axes_input(1)(node)


def _reshape(node: ir.Node) -> bool:
    """Require that axis 0 keeps its size: row-major order then keeps samples apart."""
    return _only_data(node) and rank(node.outputs[0]) > 0 and shape(node.inputs[0])[:1] == shape(node.outputs[0])[:1]


def _slice(node: ir.Node) -> bool:
    axes = constant(input_value(node, 3))
    if axes is None:
        return False
    return _only_data(node) and all(int(axis) % rank(node.inputs[0]) != 0 for axis in axes.ravel())


def _transpose(node: ir.Node) -> bool:
    full = rank(node.inputs[0])
    return int(attribute(node, "perm", tuple(reversed(range(full))))[0]) == 0


def _pad(node: ir.Node) -> bool:
    pads, axes = constant(input_value(node, 1)), constant(input_value(node, 3))
    if pads is None:
        return False
    if axes is not None:
        return _only_data(node) and all(int(axis) % rank(node.inputs[0]) != 0 for axis in axes.ravel())
    return _only_data(node) and pads[0] == 0 and pads[rank(node.inputs[0])] == 0


def _matmul(node: ir.Node) -> bool:
    left, right = node.inputs[:2]
    assert left is not None and right is not None
    if _is_fixed(right):
        return rank(left) >= 2 and (rank(right) <= 2 or (rank(right) <= rank(left) and _one_row(right, rank(left))))
    if _is_fixed(left):
        return rank(right) >= 3 and rank(left) <= rank(right) and _one_row(left, rank(right))
    return rank(left) == rank(right) >= 3


def _one_row(value: ir.Value, full: int) -> bool:
    return rank(value) < full or shape(value)[0] == 1


def _gemm(node: ir.Node) -> bool:
    bias = input_value(node, 2)
    if attribute(node, "transA", 0) or node.inputs[0] is None or _is_fixed(node.inputs[0]):
        return False
    if bias is not None and _is_fixed(bias) and rank(bias) == 2 and shape(bias)[0] != 1:
        return False
    if bias is not None and not _is_fixed(bias) and rank(bias) != 2:
        return False
    return node.inputs[1] is not None and _is_fixed(node.inputs[1])


def _expand(node: ir.Node) -> bool:
    sizes = constant(input_value(node, 1))
    if sizes is None or rank(node.inputs[0]) != rank(node.outputs[0]):
        return False
    return len(sizes) < rank(node.outputs[0]) or int(sizes[0]) == 1


def _tile(node: ir.Node) -> bool:
    repeats = constant(input_value(node, 1))
    return repeats is not None and int(repeats[0]) == 1


def _gather(node: ir.Node) -> bool:
    (data, indices), axis = node.inputs, int(attribute(node, "axis", 0))
    assert data is not None and indices is not None
    if _is_fixed(data):
        return axis % rank(data) == 0 and rank(indices) > 0  # a table, whose rows computed indices choose
    return _only_data(node) and axis % rank(data) != 0


def _gather_elements(node: ir.Node) -> bool:
    axis = int(attribute(node, "axis", 0)) % rank(node.inputs[0])
    return axis != 0 and len(_computed(node)) == 2


def _layout_kept(node: ir.Node) -> bool:
    return len(_computed(node)) == 1 and _only_data(node)


def _loop(node: ir.Node) -> bool:
    """Require that computed initial states carry the batch too; a layer of ONNX itself has it in another axis."""
    return is_loop(node) and all(rank(value) == 2 for value in _computed(node)[1:])


def _resize(node: ir.Node) -> bool:
    return _only_data(node) and 0 not in attribute(node, "axes", ())


RULES: dict[str, Rule] = {
    **dict.fromkeys(named("elementwise"), _broadcast),
    **dict.fromkeys(named("channels_first"), _layout_kept),
    **dict.fromkeys(named("reduces"), _reduce),
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax", "LayerNormalization", "RMSNormalization"], _axis("axis", -1)),
    **dict.fromkeys(["LpNormalization", "Split"], _axis("axis", -1)),
    **dict.fromkeys(["ArgMax", "ArgMin"], _axis("axis", 0)),
    **dict.fromkeys(["Squeeze", "Unsqueeze"], _axes_input(1)),
    "Split": _axis("axis", 0),
    "Flatten": lambda node: int(attribute(node, "axis", 1)) == 1,
    "Concat": _concat,
    "Reshape": _reshape,
    "Slice": _slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Pad": _pad,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Expand": _expand,
    "CumSum": _axes_input(1),
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Resize": _resize,
    **dict.fromkeys(GATES, _loop),
    # Quantized forms: scales and zero points are constants of one value or of one axis that is not the batch.
    **dict.fromkeys(["QuantizeLinear", "DequantizeLinear"], lambda node: _only_data(node)),
    **dict.fromkeys(["QLinearConv", "ConvInteger"], _layout_kept),
    **dict.fromkeys(["QLinearAveragePool", "QLinearGlobalAveragePool"], _layout_kept),
    **dict.fromkeys(["QLinearAdd", "QLinearMul"], _broadcast),
    **dict.fromkeys(["QLinearSigmoid", "QLinearLeakyRelu"], _only_data),
    "QGemm": lambda node: not attribute(node, "transA", 0) and len(_computed(node)) == 1,
    "QLinearMatMul": lambda node: len(_computed(node)) == 1 and _computed(node)[0] is node.inputs[0],
    "QLinearConcat": lambda node: (
        int(attribute(node, "axis", 0)) % rank(node.outputs[0]) != 0
        and all(not _is_fixed(value) for value in node.inputs[2::3] if value is not None)
    ),
}
