"""Resize along more than two axes, and cubic: one axis after the other.

linear: two Resizes, the last two axes together        cubic: y = x @ m along each axis, m constant
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input
from intaglio.graph.access import Array, attribute, rank, shape
from intaglio.graph.edit import AttributeValue
from intaglio.ops.positions import COORDINATES, ResizedAxis, has_one_meaning, resized_axes

_TAPS = 4


def resize(to: Rewriting) -> None:
    """Rewrite Resize: linear along three axes as two of them, cubic as a product along each axis."""
    mode, roi = str(attribute(to.node, "mode", "nearest")), constant_input(to.node, 1)
    coordinates = str(attribute(to.node, "coordinate_transformation_mode", "half_pixel"))
    if roi is not None or attribute(to.node, "antialias", 0) or coordinates not in COORDINATES:
        return
    if not has_one_meaning(to.node):
        return  # the operator refuses it
    if mode == "linear":
        _linear(to)
    elif mode == "cubic":
        value = to.input(0)
        for axis in resized_axes(to.node):
            value = _along(to, value, axis.axis, _cubic_matrix(to, axis))
        to.finish(value)


def _linear(to: Rewriting) -> None:
    axes = [axis.axis for axis in resized_axes(to.node)]
    if len(axes) <= 2:
        return
    value = to.input(0)
    for part in (axes[-2:], axes[:-2]):
        value = _resized(to, value, part)
    to.finish(value)


def _resized(to: Rewriting, value: ir.Value, axes: list[int]) -> ir.Value:
    """Resize some of the axes as the node does."""
    kept: dict[str, AttributeValue] = {name: attribute(to.node, name) for name in to.node.attributes if name != "axes"}
    scales = constant_input(to.node, 2)
    if scales is not None:
        part = np.ones(len(scales), np.float32)
        part[axes] = scales[axes]
        return to.apply("Resize", value, None, to.array(part, "scales"), **kept)
    target = shape(to.node.outputs[0])
    sizes = to.ints([target[axis] for axis in axes], "sizes")
    return to.apply("Resize", value, None, None, sizes, axes=axes, **kept)


def _cubic_matrix(to: Rewriting, axis: ResizedAxis) -> Array:
    """Weights of cubic interpolation, (size, resized size).

    Source: Keys 1981, doi:10.1109/TASSP.1981.1163711; ONNX Resize, `cubic_coeff_a` and `exclude_outside`.
    """
    a, at = float(attribute(to.node, "cubic_coeff_a", -0.75)), axis.at.astype(np.float64)
    first = np.floor(at).astype(np.int64) - 1
    matrix = np.zeros((axis.size, len(at)))
    for tap in range(_TAPS):
        place = first + tap
        far = np.abs(at - place)
        near = ((a + 2) * far - (a + 3)) * far**2 + 1
        weight = np.where(far <= 1, near, ((a * far - 5 * a) * far + 8 * a) * far - 4 * a)
        if attribute(to.node, "exclude_outside", 0):
            weight = np.where((place < 0) | (place >= axis.size), 0.0, weight)
        np.add.at(matrix, (np.clip(place, 0, axis.size - 1), np.arange(len(at))), weight)
    return np.asarray(matrix / matrix.sum(axis=0), np.float32)


def _along(to: Rewriting, value: ir.Value, axis: int, matrix: Array) -> ir.Value:
    """Multiply along one axis."""
    order = [*(other for other in range(rank(value)) if other != axis), axis]
    product = to.apply("MatMul", to.transpose(value, order), to.array(matrix, "weights"))
    return to.transpose(product, np.argsort(order).tolist())
