"""Upgrade nodes to opset `NORMAL_OPSET`, one form per operator, from older and newer opsets.

A row of `FORMS` is `(operator, function)`; the function changes a node of a graph with static shapes. It also
writes out defaults, so that no code downstream has to know them:

- axes, sizes, starts, ends, pads are constant inputs, complete and not negative; `axis` attributes are explicit;
- vectors that are multiplied are matrices of one row or column;
- Softmax, LogSoftmax and Hardmax over several axes, as before opset 13, are a Reshape around one over the last axis;
- a Reshape's target is fully known and starts with 0 where it keeps axis 0;
- windows have explicit kernel_shape, strides, pads, dilations (`upgrade_conv_pool_ops`), Resize has scales
  (`upgrade_resize`).

Operators without a row are checked against ONNX's own schemas.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.read import one_node_error
from intaglio.frontends.upgrade_axis_ops import (
    Form,
    dft,
    explicit_axis,
    flatten,
    matmul,
    reduce,
    softmax,
    split,
    squeeze,
    unsqueeze,
)
from intaglio.frontends.upgrade_conv_pool_ops import conv, conv_transpose, pool
from intaglio.frontends.upgrade_inputs import set_input
from intaglio.frontends.upgrade_normalization import group_normalization, mean_variance_normalization
from intaglio.frontends.upgrade_resize import grid_sample, resize, upsample
from intaglio.frontends.upgrade_shape_ops import expand, pad, reshape, slice_, transpose
from intaglio.graph.access import attribute, constant, input_value, where
from intaglio.graph.edit import add_constant, set_attribute
from intaglio.graph.operators import named


def upgrade_opset(model: ir.Model, version: int, target: int) -> None:
    """Bring every node to its one form.

    Args:
        model: static shapes; its opset import is already `target`.
        version: the opset in which its nodes are written.
        target: the opset of the result.
    Raises:
        UnsupportedOperatorError: a node that the target opset cannot express.
    """
    for node in list(model.graph):
        if node.domain:
            continue
        form = FORMS.get(node.op_type)
        if form is not None:
            with one_node_error(node):
                form(model.graph, node, version)
        if node.graph is not None:
            _check_schema(node, version, target)


def _check_schema(node: ir.Node, version: int, target: int) -> None:
    if not onnx.defs.has(node.op_type):
        return  # the inference names it
    try:
        schema = onnx.defs.get_schema(node.op_type, target, "")
    except onnx.defs.SchemaError as error:
        raise UnsupportedOperatorError(
            f"{where(node)} expected an operator of opset {target} or older, got one of opset {version} that did not "
            "exist then"
        ) from error
    if schema.deprecated:
        raise UnsupportedOperatorError(f"{where(node)} expected a current operator, got {node.op_type}, removed since")
    extra = sorted(set(node.attributes) - set(schema.attributes))
    if extra or len(node.inputs) > schema.max_input:
        found = f"the attribute '{extra[0]}'" if extra else f"{len(node.inputs)} inputs"
        raise UnsupportedOperatorError(
            f"{where(node)} expected the form of opset {target}, got {found} of opset {version}, for which there is "
            "no translation; export the model with another opset"
        )


def _clip(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if version < 11:
        for index, name in ((1, "min"), (2, "max")):
            bound = attribute(node, name)
            node.attributes.pop(name, None)
            if bound is not None:
                set_input(node, index, add_constant(graph, f"{node.name}.{name}", np.array(bound, dtype=np.float32)))


def _dropout(graph: ir.Graph, node: ir.Node, version: int) -> None:
    ratio, training = constant(input_value(node, 1)), constant(input_value(node, 2))
    drops = ratio is None or bool(ratio.any())  # left out, it is 0.5
    if drops and input_value(node, 2) is not None and (training is None or bool(training.any())):
        raise ModelError(f"{where(node)} expected inference, got training mode; export the model with module.eval()")
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        raise ModelError(f"{where(node)} expected an unused mask, got one that is read; export with module.eval()")
    node.resize_outputs(1)
    node.resize_inputs(1)
    node.attributes.clear()
    node.op_type = "Identity"


def _batch_normalization(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if attribute(node, "training_mode", 0):
        raise ModelError(
            f"{where(node)} expected inference, got training_mode=1; export the model with module.eval(). "
            "A layer without running statistics (track_running_stats=False) mixes the samples of a batch: train it "
            "with them, or use InstanceNorm"
        )
    if attribute(node, "spatial", 1) == 0:
        raise ModelError(f"{where(node)} expected one statistic per channel, got spatial=0")
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise ModelError(f"{where(node)} expected inference with one output, got statistics that are read")
    for name in ("spatial", "training_mode", "momentum"):
        node.attributes.pop(name, None)
    node.resize_outputs(1)


def _cast_like(graph: ir.Graph, node: ir.Node, version: int) -> None:
    dtype = node.outputs[0].dtype
    assert dtype is not None
    node.op_type = "Cast"
    node.resize_inputs(1)
    node.attributes.clear()
    set_attribute(node, "to", int(dtype))


def _default_only(name: str, default: int | str) -> Form:
    """Drop an attribute newer than the target opset where it has the value that was implied before."""

    def form(graph: ir.Graph, node: ir.Node, version: int) -> None:
        if attribute(node, name, default) == default:
            node.attributes.pop(name, None)

    return form


def _scatter(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Rename Scatter, which opset 11 called ScatterElements."""
    node.op_type = "ScatterElements"


def _roi_align(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if version < 16:
        set_attribute(node, "coordinate_transformation_mode", "output_half_pixel")


def _depth_to_space(graph: ir.Graph, node: ir.Node, version: int) -> None:
    set_attribute(node, "mode", attribute(node, "mode", "DCR"))


FORMS: dict[str, Form] = {
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], softmax),
    **dict.fromkeys(named("reduces"), reduce),
    **dict.fromkeys(["Concat", "Gather", "ArgMax", "ArgMin"], explicit_axis(0)),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization", "LpNormalization"], explicit_axis(-1)),
    **dict.fromkeys(["MaxPool", "AveragePool", "LpPool"], pool),
    "BatchNormalization": _batch_normalization,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DFT": dft,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": expand,
    "Flatten": flatten,
    "GridSample": grid_sample,
    "GroupNormalization": group_normalization,
    "MatMul": matmul,
    "MeanVarianceNormalization": mean_variance_normalization,
    "Pad": pad,
    "QLinearConv": conv,
    "Range": _default_only("stash_type", 1),
    "Reshape": reshape,
    "Resize": resize,
    "RoiAlign": _roi_align,
    "Scatter": _scatter,
    "Slice": slice_,
    "SpaceToDepth": _default_only("mode", "DCR"),
    "Split": split,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Upsample": upsample,
}
