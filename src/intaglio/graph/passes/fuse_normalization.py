"""Fuse normalizations and softmax that exporters decomposed.

Normalization over axes that are not the last ones is a normalization of the last axes between two Transposes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts
from intaglio.graph.passes import normalization_patterns as patterns
from intaglio.graph.passes.normalization_affine import along, take_in_scale_and_bias
from intaglio.graph.pattern import Match, Op, find, keeps_shape
from intaglio.graph.permute import inverse

Build = Callable[[ir.Graph, ir.Node, Match], ir.Node | None]

_TINY = 1e-6
"""A lower bound of a norm below which it makes no difference for numbers that a network computes with."""


def fuse_normalization(graph: Graph) -> list[str]:
    """Replace every decomposed normalization, softmax and log-softmax by its operator."""
    changes: list[str] = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None:
            continue
        for rows, build in _BUILDERS_OF.get(node.op_type, ()):
            match = _first(rows, node)
            fused = build(inner, node, match) if match is not None else None
            if match is None or fused is None:
                continue
            op_type = _normalizer(fused)
            changes.append(f"{where(node)} and the {len(match.nodes) - 1} before it are one {op_type}")
            name = str(node.name)
            replace(node.outputs[0], fused.outputs[0])
            remove_unread_before(inner, node)
            rename(fused, name)
            break
    return changes + take_in_scale_and_bias(graph)


def _normalizer(last: ir.Node) -> str:
    """Name the operator that was put in, which moves of data may follow."""
    while facts(last.op_type).moves:
        producer = last.inputs[0].producer() if last.inputs[0] is not None else None
        assert producer is not None
        last = producer
    return last.op_type


def _first(rows: tuple[Op, ...], node: ir.Node) -> Match | None:
    given = (value.producer() for value in node.inputs if value is not None)
    producers = {producer.op_type for producer in given if producer is not None}
    for pattern in rows:
        inside = (part for part in pattern.inputs if isinstance(part, Op))
        if all(not producers.isdisjoint(part.op_types) for part in inside):
            match = find(pattern, node)
            if match is not None:
                return match
    return None


def _axes(match: Match, source: ir.Value) -> tuple[int, ...] | None:
    """Find the axes of all reductions of an expression, kept in the result; None if they differ.

    Axes of size 1 add nothing, and are left out where others remain.
    """
    sizes, found = shape(source), set()
    for node in match.nodes:
        if node.op_type.startswith("Reduce"):
            given = constant(input_value(node, 1))
            full = given is None or not given.size
            if (full and attribute(node, "noop_with_empty_axes", 0)) or (given is None and input_value(node, 1)):
                return None
            axes = range(len(sizes)) if given is None or full else (int(axis) % len(sizes) for axis in given)
            if not attribute(node, "keepdims", 1) and not _scalar_of_vector(node, len(sizes)):
                return None
            found.add(tuple(sorted(axis for axis in axes if sizes[axis] != 1)))
    return found.pop() or None if len(found) == 1 else None


def _scalar_of_vector(node: ir.Node, full: int) -> bool:
    """Tell whether a reduction drops its axes and the result, one number, broadcasts all the same."""
    return math.prod(shape(node.outputs[0])) == 1 and full >= 1


def _epsilon(match: Match, name: str = "epsilon") -> float | None:
    array = match.array(name)
    return float(array.ravel()[0]) if array.size == 1 else None


def _trailing(
    graph: ir.Graph, node: ir.Node, source: ir.Value, axes: tuple[int, ...], build: Callable[[ir.Value], ir.Node]
) -> ir.Node:
    """Put in an operator over the last axes, between Transposes where these are others.

    Args:
        graph: the graph.
        node: before which nodes are inserted.
        source: what is normalized.
        axes: over which, ascending.
        build: the operator for a source whose last axes these are.
    """
    full = rank(source)
    perm = (*(axis for axis in range(full) if axis not in axes), *axes)
    if perm == tuple(range(full)):
        return build(source)
    moved = insert(graph, node, "Transpose", [source], {"perm": perm}, name=f"{node.name}.last")
    normal = build(moved.outputs[0])
    return insert(graph, node, "Transpose", normal.outputs[:1], {"perm": inverse(perm)}, name=f"{node.name}.back")


def _normalization(
    graph: ir.Graph,
    node: ir.Node,
    match: Match,
    op_type: str,
    epsilon: float | None,
    gain: Callable[[int], float] = lambda n: 1.0,
) -> ir.Node | None:
    """Put in a LayerNormalization or RMSNormalization; gamma and beta of the match come along."""
    source = match.value("x")
    axes, full = _axes(match, source), rank(source)
    if axes is None or epsilon is None or not keeps_shape(node, source):
        return None
    perm = (*(axis for axis in range(full) if axis not in axes), *axes)
    sizes = tuple(shape(source)[axis] for axis in axes)
    arrays: list[Array] = [np.full(sizes, gain(math.prod(sizes)), dtype=np.float32)]
    if "gamma" in match.values:
        given = [along(match.array(name), sizes, perm) for name in ("gamma", "beta")]
        arrays = [array for array in given if array is not None]
        if len(arrays) != 2:
            return None
    roles = ("scale", "bias")[: len(arrays)]
    attributes = {"axis": full - len(axes), "epsilon": epsilon}

    def build(value: ir.Value) -> ir.Node:
        constants = [add_constant(graph, f"{node.name}.{role}", a) for role, a in zip(roles, arrays, strict=True)]
        return insert(graph, node, op_type, [value, *constants], attributes, name=f"{node.name}.{op_type.lower()}")

    return _trailing(graph, node, source, axes, build)


def _layer_normalization(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    return _normalization(graph, node, match, "LayerNormalization", _epsilon(match))


def _mean_variance_normalization(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    tiny = _epsilon(match, "tiny")
    return None if tiny is None or tiny > _TINY else _normalization(graph, node, match, "LayerNormalization", tiny**2)


def _rms_normalization(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    return _normalization(graph, node, match, "RMSNormalization", _epsilon(match))


def _root_of_sum(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    """Write x / sqrt(sum x^2 + epsilon) as x / sqrt(mean x^2 + epsilon / n) / sqrt(n)."""
    epsilon, source = _epsilon(match), match.value("x")
    axes = _axes(match, source)
    if epsilon is None or axes is None:
        return None
    n = math.prod(shape(source)[axis] for axis in axes)
    return _normalization(graph, node, match, "RMSNormalization", epsilon / n, lambda n: 1.0 / math.sqrt(n))


def _l2_normalization(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
    source = match.value("x")
    axes = _axes(match, source)
    if axes is None or not keeps_shape(node, source) or not _is_norm(match):
        return None
    if len(axes) == 1:
        return _lp(graph, node, source, axes[0])

    def build(value: ir.Value) -> ir.Node:
        size, kept = shape(value), rank(value) - len(axes)
        before = (0, *size[1:kept]) if kept else ()
        flat = _reshape(graph, node, value, (*before, math.prod(size[kept:])), "flat")
        normal = _lp(graph, node, flat.outputs[0], kept)
        return _reshape(graph, node, normal.outputs[0], (*before, *size[kept:]), "full")

    return _trailing(graph, node, source, axes, build)


def _lp(graph: ir.Graph, node: ir.Node, value: ir.Value, axis: int) -> ir.Node:
    attributes = {"axis": axis, "p": 2}
    return insert(graph, node, "LpNormalization", [value], attributes, name=f"{node.name}.lpnormalization")


def _reshape(graph: ir.Graph, node: ir.Node, value: ir.Value, to: tuple[int, ...], role: str) -> ir.Node:
    target = add_constant(graph, f"{node.name}.{role}.shape", np.array(to, dtype=np.int64))
    return insert(graph, node, "Reshape", [value, target], name=f"{node.name}.{role}")


def _is_norm(match: Match) -> bool:
    """Tell whether what keeps the norm from 0 changes nothing else, and is all that is done to it."""
    clip = match.named.get("clip")
    if clip is not None and input_value(clip, 2) is not None:
        return False
    most = {"tiny": _TINY, "tiny square": _TINY**2, "added": _TINY**2}
    given = [(_epsilon(match, name), limit) for name, limit in most.items() if name in match.values]
    return all(value is not None and 0 <= value <= limit for value, limit in given)


def _softmax(op_type: str) -> Build:
    def build(graph: ir.Graph, node: ir.Node, match: Match) -> ir.Node | None:
        source = match.value("x")
        axes = _axes(match, source)
        if axes is None or len(axes) != 1 or not keeps_shape(node, source):
            return None
        return insert(graph, node, op_type, [source], {"axis": axes[0]}, name=f"{node.name}.{op_type.lower()}")

    return build


_BUILDERS: tuple[tuple[tuple[Op, ...], Build], ...] = (
    (patterns.LAYER_NORMALIZATION, _layer_normalization),
    (patterns.MEAN_VARIANCE_NORMALIZATION, _mean_variance_normalization),
    (patterns.TF_LAYER_NORMALIZATION, _layer_normalization),
    (patterns.RMS_NORMALIZATION, _rms_normalization),
    (patterns.ROOT_OF_SUM, _root_of_sum),
    (patterns.L2_NORMALIZATION, _l2_normalization),
    (patterns.SOFTMAX, _softmax("Softmax")),
    (patterns.LOG_SOFTMAX, _softmax("LogSoftmax")),
)

_BUILDERS_OF: dict[str, list[tuple[tuple[Op, ...], Build]]] = {
    op_type: [
        (ending, build)
        for rows, build in _BUILDERS
        if (ending := tuple(row for row in rows if op_type in row.op_types))
    ]
    for op_type in sorted({name for rows, _ in _BUILDERS for row in rows for name in row.op_types})
}
"""Builders with those of their patterns that end in an operator, by its type."""
