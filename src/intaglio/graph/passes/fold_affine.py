"""Fold per-channel y = s * x + t into the matrix product beside it.

The affine step is a BatchNormalization, a Mul or an Add of a constant; the product a Conv, ConvTranspose, Gemm or
MatMul with a constant weight. Behind the product it always folds:

    s * (W x + b) + t = (s W) x + (s b + t)

In front of it, W (s x + t) + b = (W s) x + (W t + b), which for a padded Conv holds only where t = 0: the padding
is zero before and after the step alike. Source: Jacob et al. 2018, arXiv:1712.05877, eq. (14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import (
    Array,
    attribute,
    constant,
    consumers,
    input_value,
    rank,
    shape,
    single_consumer,
    where,
)
from intaglio.graph.edit import add_constant, remove, replace, set_constant
from intaglio.graph.graph import Graph
from intaglio.graph.passes.canonicalize import AFFINE
from intaglio.graph.pattern import keeps_shape
from intaglio.graph.weights import WeightedProduct, product


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift along one axis of x; arrays of float64, shape (C,)."""

    scale: Array
    shift: Array

    @property
    def shifts(self) -> bool:
        """Whether it does more than scale."""
        return bool(self.shift.any())


def affine(node: ir.Node, axis: int) -> Affine | None:
    """Describe a node as an affine step along an axis of its first input; None if it is not one, or varies elsewhere.

    Args:
        node: any node.
        axis: the channel axis, not negative.
    """
    source = input_value(node, 0)
    if source is None or source.is_initializer() or axis >= rank(source):
        return None
    channels = shape(source)[axis]
    if node.op_type == "BatchNormalization":
        return _of_batch_normalization(node) if axis == 1 else None
    array = constant(input_value(node, 1))
    if node.op_type not in AFFINE or array is None or array.dtype != np.float32:
        return None
    if not keeps_shape(node, source):
        return None
    vector = along_axis(array, rank(source), axis, channels)
    if vector is None:
        return None
    return Affine(vector, np.zeros(channels)) if node.op_type == "Mul" else Affine(np.ones(channels), vector)


def along_axis(array: Array, full: int, axis: int, channels: int) -> Array | None:
    """Reduce a broadcast constant to one float64 number per channel, (channels,); None if it varies elsewhere."""
    padded = (1,) * (full - array.ndim) + array.shape
    if any(size != 1 for position, size in enumerate(padded) if position != axis):
        return None
    return np.broadcast_to(array.astype(np.float64).ravel(), (channels,))


def _of_batch_normalization(node: ir.Node) -> Affine | None:
    arrays = [constant(input_value(node, index)) for index in (1, 2, 3, 4)]
    if any(array is None for array in arrays):
        return None
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    scale = gamma / np.sqrt(variance + float(attribute(node, "epsilon", 1e-5)))
    return Affine(scale, beta - mean * scale)


def fold_affine(graph: Graph) -> list[str]:
    """Fold every affine step that stands right behind or right in front of a product with a constant weight."""
    changes = []
    for node in graph.nodes:
        if node.graph is None:
            continue
        found = product(node)
        if found is not None:
            changes += _fold_following(graph.model.graph, found)
        elif node.op_type == "BatchNormalization" or node.op_type in AFFINE:
            changes += _fold_preceding(graph.model.graph, node)
    return changes


def _fold_following(graph: ir.Graph, found: WeightedProduct) -> list[str]:
    changes = []
    node = found.node
    while (following := single_consumer(node.outputs[0])) is not None:
        if following.inputs[0] is not node.outputs[0]:
            break
        step = affine(following, found.output_axis)
        if step is None or (step.shifts and not found.takes_bias):
            break
        found.scale_outputs(step.scale)
        if step.shifts or found.bias is not None:
            old = np.zeros(len(step.scale)) if found.bias is None else found.bias
            _set_bias(graph, found, old * step.scale + step.shift)
        changes.append(f"{where(following)} folded into {where(node)}")
        replace(following.outputs[0], node.outputs[0])
        remove(graph, following)
    return changes


def _fold_preceding(graph: ir.Graph, node: ir.Node) -> list[str]:
    result = node.outputs[0]
    users = consumers(result)
    products = [product(user) for user in users]
    if not users or result.is_graph_output() or len(users) != len(result.uses()):
        return []
    for user, found in zip(users, products, strict=True):
        if found is None or user.inputs[0] is not result:
            return []
        step = affine(node, found.input_axis)
        if step is None or (step.shifts and not (found.takes_bias and found.sees_no_padding)):
            return []
    for found in products:
        assert found is not None
        step = affine(node, found.input_axis)
        assert step is not None
        if step.shifts:
            old = np.zeros(found.outputs) if found.bias is None else found.bias
            _set_bias(graph, found, old + found.apply(step.shift))
        found.scale_inputs(step.scale)
        found.node.replace_input_with(0, node.inputs[0])
    remove(graph, node)
    return [f"{where(node)} folded into {', '.join(where(user) for user in users)}"]


def _set_bias(graph: ir.Graph, found: WeightedProduct, bias: Array) -> None:
    node = found.node
    array = bias.astype(np.float32)
    old = input_value(node, 2)
    if old is not None:
        set_constant(old, array)
        return
    weight = str(node.inputs[1].name) if node.inputs[1] is not None else str(node.name)
    stem = weight.removesuffix(".weight") if weight.endswith(".weight") else str(node.name)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, add_constant(graph, f"{stem}.bias", array))
