"""Fuse layer normalization and softmax that exporters decomposed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape, single_consumer, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.pattern import Constant, Match, Number, Op, Pattern, Var, find, keeps_shape

x = Var("x")


def _minus(left: Pattern, right: Pattern) -> tuple[Op, ...]:
    """Write left - right, also as left + (-right)."""
    return Op("Sub", left, right), Op("Add", left, Op("Neg", right)), Op("Add", left, Op("Mul", right, Number(-1.0)))


_MEAN = Op("ReduceMean", x, name="mean")
_CENTRED = _minus(x, _MEAN)
_VARIANCES = (
    *(Op("ReduceMean", Op("Pow", centred, Number(2.0)), name="variance") for centred in _CENTRED),
    *(Op("ReduceMean", Op("Mul", centred, centred), name="variance") for centred in _CENTRED),
)
_DEVIATIONS = tuple(Op("Sqrt", Op("Add", variance, Constant("epsilon"))) for variance in _VARIANCES)

# (x - mean) / sqrt(variance + epsilon)
LAYER_NORMALIZATION: tuple[Op, ...] = tuple(
    pattern
    for centred in _CENTRED
    for deviation in _DEVIATIONS
    for pattern in (
        Op("Div", centred, deviation),
        Op("Mul", centred, Op("Reciprocal", deviation)),
    )
)

# x * s + (beta - mean * s) with s = gamma / sqrt(variance + epsilon), as TensorFlow writes it
TF_LAYER_NORMALIZATION: tuple[Op, ...] = tuple(
    Op("Add", Op("Mul", x, scale), Op("Add", Op("Mul", Op("Mul", _MEAN, scale), Number(-1.0)), Constant("beta")))
    for deviation in _DEVIATIONS
    for scale in (Op("Mul", Op("Reciprocal", deviation), Constant("gamma")),)
)

# exp(x) / sum(exp(x)), with or without the largest x taken off first
_SHIFTED: tuple[Pattern, ...] = (*_minus(x, Op("ReduceMax", x, name="max")), x)
SOFTMAX: tuple[Op, ...] = tuple(
    pattern
    for shifted in _SHIFTED
    for total in (Op("ReduceSum", Op("Exp", shifted), name="sum"),)
    for pattern in (
        Op("Div", Op("Exp", shifted), total),
        Op("Mul", Op("Exp", shifted), Op("Reciprocal", total)),
    )
)

# x - log(sum(exp(x)))
LOG_SOFTMAX: tuple[Op, ...] = tuple(
    pattern
    for shifted in _SHIFTED
    for pattern in _minus(shifted, Op("Log", Op("ReduceSum", Op("Exp", shifted), name="sum")))
) + _minus(x, Op("ReduceLogSumExp", x, name="sum"))


def fuse_normalization(graph: Graph) -> list[str]:
    """Replace every decomposed layer normalization, softmax and log-softmax by its operator."""
    changes: list[str] = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None:
            continue
        for patterns, build in _BUILDERS:
            match = _first(patterns, node)
            fused = build(inner, node, match) if match is not None else None
            if match is None or fused is None:
                continue
            changes.append(f"{where(node)} and the {len(match.nodes) - 1} before it are one {fused.op_type}")
            name = str(node.name)
            replace(node.outputs[0], fused.outputs[0])
            remove_unread_before(inner, node)
            rename(fused, name)
            break
    return changes + _take_in_scale_and_bias(graph)


def _first(patterns: tuple[Op, ...], node: ir.Node) -> Match | None:
    for pattern in patterns:
        if node.op_type in pattern.op_types:
            match = find(pattern, node)
            if match is not None:
                return match
    return None


def _axes(match: Match, full: int) -> tuple[int, ...] | None:
    """Find the axes of all reductions of an expression, kept in the result; None if they differ."""
    found = set()
    for node in match.nodes:
        if node.op_type.startswith("Reduce"):
            axes = constant(input_value(node, 1))
            if axes is None or not attribute(node, "keepdims", 1):
                return None
            found.add(tuple(sorted(int(axis) % full for axis in axes)))
    return found.pop() if len(found) == 1 else None


def _layer_normalization(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    source, epsilon = match.value("x"), match.array("epsilon")
    full = rank(source)
    axes = _axes(match, full)
    if axes is None or epsilon.size != 1 or axes != tuple(range(axes[0], full)) or not keeps_shape(node, source):
        return None
    sizes = shape(source)[axes[0] :]
    arrays = [np.ones(sizes, dtype=np.float32)]
    if "gamma" in match.values:
        given = [_along(match.array(name), sizes, full) for name in ("gamma", "beta")]
        arrays = [array for array in given if array is not None]
        if len(arrays) != 2:
            return None
    roles = ("scale", "bias")[: len(arrays)]
    constants = [add_constant(graph, f"{node.name}.{role}", a) for role, a in zip(roles, arrays, strict=True)]
    attributes = {"axis": axes[0], "epsilon": float(epsilon.ravel()[0])}
    return insert(graph, node, "LayerNormalization", [source, *constants], attributes, name=f"{node.name}.layernorm")


def _along(array: Array, sizes: tuple[int, ...], full: int) -> Array | None:
    """Expand a constant that varies along the last axes only to their sizes; None if it varies elsewhere."""
    padded = (1,) * (full - array.ndim) + array.shape
    if any(size != 1 for size in padded[: full - len(sizes)]):
        return None
    return np.broadcast_to(array.reshape(padded[full - len(sizes) :]), sizes).astype(np.float32)


def _softmax(op_type: str) -> Callable[[ir.Graph, ir.Node, Match], ir.Node | None]:
    def build(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
        source = match.value("x")
        axes = _axes(match, rank(source))
        if axes is None or len(axes) != 1 or not keeps_shape(node, source):
            return None
        return insert(graph, node, op_type, [source], {"axis": axes[0]}, name=f"{node.name}.{op_type.lower()}")

    return build


_BUILDERS: tuple[tuple[tuple[Op, ...], Callable[[ir.Graph, ir.Node, Match], ir.Node | None]], ...] = (
    (LAYER_NORMALIZATION, _layer_normalization),
    (TF_LAYER_NORMALIZATION, _layer_normalization),
    (SOFTMAX, _softmax("Softmax")),
    (LOG_SOFTMAX, _softmax("LogSoftmax")),
)


def _take_in_scale_and_bias(graph: Graph) -> list[str]:
    """Fold Mul and Add of constants after a LayerNormalization into its scale and bias."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.op_type != "LayerNormalization" or len(node.outputs) != 1:
            continue
        sizes, full = shape(node.outputs[0])[int(attribute(node, "axis")) :], rank(node.outputs[0])
        while (following := single_consumer(node.outputs[0])) is not None:
            array = constant(input_value(following, 1))
            if following.op_type not in AFFINE or array is None or not keeps_shape(following, node.outputs[0]):
                break
            flat = _along(array, sizes, full)
            if flat is None:
                break
            scale, bias = (constant(input_value(node, index)) for index in (1, 2))
            if following.op_type == "Mul":
                _set(inner, node, 1, "scale", flat if scale is None else scale * flat)
                if bias is not None:
                    _set(inner, node, 2, "bias", bias * flat)
            else:
                _set(inner, node, 2, "bias", flat if bias is None else bias + flat)
            changes.append(f"{where(following)} taken into {where(node)}")
            replace(following.outputs[0], node.outputs[0])
            remove_unread_before(inner, following)
    return changes


def _set(graph: ir.Graph, node: ir.Node, index: int, role: str, array: Array) -> None:
    """Set the array of a constant input of a node; the input is added where there was none."""
    old = input_value(node, index)
    if old is not None:
        set_constant(old, array.astype(np.float32))
        return
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_constant(graph, f"{node.name}.{role}", array.astype(np.float32)))
