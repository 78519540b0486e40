"""Upgrade Resize and its predecessor Upsample: `scales` for every axis, `sizes` only where scales are not enough."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.upgrade_inputs import proper_axes
from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, set_attribute


def upsample(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Upsample, removed in opset 10, which maps coordinates by division and takes the pixel below."""
    if version < 9:
        scales = np.array(attribute(node, "scales"), dtype=np.float32)
        node.attributes.pop("scales", None)
        node.resize_inputs(2)
        node.replace_input_with(1, add_constant(graph, f"{node.name}.scales", scales))
    node.op_type = "Resize"
    resize(graph, node, 10)


def resize(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Resize of opsets 10, 11, 13, 18 and 19."""
    if version < 11:
        given = input_value(node, 1)
        node.resize_inputs(3)
        node.replace_input_with(1, None)
        node.replace_input_with(2, given)
        set_attribute(node, "coordinate_transformation_mode", "asymmetric")
        set_attribute(node, "nearest_mode", "floor")
    source, full = shape(node.inputs[0]), rank(node.inputs[0])
    mode = str(attribute(node, "coordinate_transformation_mode", "half_pixel"))
    if mode == "tf_half_pixel_for_nn":
        raise UnsupportedOperatorError(
            f"{where(node)} expected a coordinate mode of opset 13 or later, got {mode!r}, removed then"
        )
    if mode != "tf_crop_and_resize":
        if len(node.inputs) > 1:
            node.replace_input_with(1, None)
    elif constant(input_value(node, 1)) is None:
        raise UnsupportedOperatorError(f"{where(node)} expected a constant roi, got a computed one")
    chosen = proper_axes(node, attribute(node, "axes", tuple(range(full))), full)
    node.attributes.pop("axes", None)
    scales_found, sizes_found = (_numbers(node, index) for index in (2, 3))
    if (roi := constant(input_value(node, 1))) is not None and len(chosen) != full:
        complete = np.array([0.0] * full + [1.0] * full, dtype=np.float32)
        for position, axis in enumerate(chosen):
            complete[axis], complete[axis + full] = roi[position], roi[position + len(chosen)]
        node.replace_input_with(1, add_constant(graph, f"{node.name}.roi", complete))
    scales: Array = np.ones(full, dtype=np.float32)
    if scales_found is not None:
        scales[chosen] = scales_found
    elif sizes_found is not None and attribute(node, "keep_aspect_ratio_policy", "stretch") == "stretch":
        scales = np.array(shape(node.outputs[0]), dtype=np.float32) / np.array(source, dtype=np.float32)
    else:
        raise UnsupportedOperatorError(
            f"{where(node)} expected scales or plain sizes, got keep_aspect_ratio_policy="
            f"{attribute(node, 'keep_aspect_ratio_policy')!r}; export the model with scales"
        )
    node.attributes.pop("keep_aspect_ratio_policy", None)
    for name, default in (("coordinate_transformation_mode", "half_pixel"), ("mode", "nearest")):
        set_attribute(node, name, str(attribute(node, name, default)))
    if attribute(node, "mode") == "nearest":
        set_attribute(node, "nearest_mode", str(attribute(node, "nearest_mode", "round_prefer_floor")))
    # Libraries multiply in float32 or in float64: scales are taken only where both give the same sizes.
    single = np.floor(np.array(source, dtype=np.float32) * scales)
    double = np.floor(np.array(source, dtype=np.float64) * scales)
    if all(tuple(int(size) for size in sizes) == shape(node.outputs[0]) for sizes in (single, double)):
        node.resize_inputs(3)
        node.replace_input_with(2, add_constant(graph, f"{node.name}.scales", scales))
    else:
        # 7/3 in float32 times 3 is less than 7: sizes are exact. They are given for the axes that change, as the batch
        # stays open.
        target, roi = shape(node.outputs[0]), constant(input_value(node, 1))
        kept = [roi is None or (roi[axis], roi[axis + full]) == (0.0, 1.0) for axis in range(full)]
        changed = [axis for axis in range(full) if source[axis] != target[axis] or not kept[axis]]
        set_attribute(node, "axes", changed)
        if roi is not None:
            part = roi[[*changed, *(axis + full for axis in changed)]]
            node.replace_input_with(1, add_constant(graph, f"{node.name}.part", part))
        node.resize_inputs(4)
        node.replace_input_with(2, None)
        sizes = np.array([target[axis] for axis in changed], dtype=np.int64)
        node.replace_input_with(3, add_constant(graph, f"{node.name}.sizes", sizes))


def _numbers(node: ir.Node, index: int) -> Array | None:
    """Get a constant input; None where it is left out or, as opset 11 wrote it, empty."""
    value = input_value(node, index)
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise ModelError(
            f"{where(node)} expected constant scales or sizes, got '{value.name}', computed at run time; "
            "fix the input sizes with --shape"
        )
    return array if array.size else None


def grid_sample(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Rename the modes bilinear and bicubic, as they were called before opset 20."""
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = str(attribute(node, "mode", "bilinear"))
    set_attribute(node, "mode", names.get(mode, mode))
