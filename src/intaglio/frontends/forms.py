"""One form per operator: what older and newer opsets wrote differently is brought to opset `NORMAL_OPSET`.

A row of `FORMS` is `(operator, function)`; the function changes a node of a graph with static shapes. It makes
implied things explicit as well, so that nobody downstream has to know a default twice:

- axes, sizes, starts, ends, pads are constant inputs, complete and not negative; `axis` attributes are explicit;
- Softmax, LogSoftmax and Hardmax over several axes, as before opset 13, are a Reshape around one over the last axis;
- a Reshape's target is fully known and starts with 0 where it keeps axis 0;
- windows have explicit kernel_shape, strides, pads, dilations (`forms_window`), Resize has scales (`forms_resize`).

What changed between opsets without a row here is checked against ONNX's own schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.forms_resize import grid_sample, resize, upsample
from intaglio.frontends.forms_window import conv, conv_transpose, pool
from intaglio.graph.access import attribute, constant, input_value, rank, shape, where
from intaglio.graph.edit import add_constant, insert, set_attribute

Form = Callable[[ir.Graph, ir.Node, int], None]


def normalize_forms(model: ir.Model, version: int, target: int) -> None:
    """Bring every node to its one form.

    Args:
        model: static shapes; its opset import already says `target`.
        version: the opset in which its nodes are written.
        target: the opset of the result.
    Raises:
        UnsupportedOperatorError: a node whose meaning the target opset cannot say.
    """
    for node in list(model.graph):
        if node.domain:
            continue
        form = FORMS.get(node.op_type)
        if form is not None:
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


def ints(graph: ir.Graph, node: ir.Node, role: str, values: Sequence[int]) -> ir.Value:
    """A constant int64 vector for one input of a node."""
    return add_constant(graph, f"{node.name}.{role}", np.array(values, dtype=np.int64))


def set_input(node: ir.Node, index: int, value: ir.Value | None) -> None:
    """Connect an input position, adding empty ones before it where needed."""
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, value)


def take_ints(node: ir.Node, name: str, index: int, since: int, version: int) -> list[int] | None:
    """Integers that were an attribute before opset `since` and are a constant input from then on; None if absent.

    Raises:
        ModelError: they are computed at run time.
    """
    if version < since:
        found = attribute(node, name)
        node.attributes.pop(name, None)
        return None if found is None else [int(item) for item in found]
    value = input_value(node, index)
    if value is None:
        return None
    array = constant(value)
    if array is None:
        raise ModelError(
            f"{where(node)} expected constant {name}, got '{value.name}', which is computed at run time; "
            "fix the input sizes with --shape or export the model with static shapes"
        )
    return [int(item) for item in array.ravel()]


def _explicit_axis(default: int) -> Form:
    def form(graph: ir.Graph, node: ir.Node, version: int) -> None:
        axis = int(attribute(node, "axis", default))
        set_attribute(node, "axis", axis % max(rank(node.outputs[0]), rank(node.inputs[0]), 1))

    return form


def _flatten(graph: ir.Graph, node: ir.Node, version: int) -> None:
    axis, full = int(attribute(node, "axis", 1)), rank(node.inputs[0])
    set_attribute(node, "axis", axis + full if axis < 0 else axis)


def _softmax(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Before opset 13 the axes from `axis` on are taken together as one, and `axis` is 1 by default."""
    source, result = node.inputs[0], node.outputs[0]
    sizes = shape(source)
    axis = int(attribute(node, "axis", -1 if version >= 13 else min(1, len(sizes) - 1))) % max(len(sizes), 1)
    if version >= 13 or all(size == 1 for size in sizes[axis + 1 :]):
        set_attribute(node, "axis", axis)
        return
    set_attribute(node, "axis", axis)
    lead = [0] * axis
    flat = insert(
        graph,
        node,
        "Reshape",
        [source, ints(graph, node, "flat", [*lead, int(np.prod(sizes[axis:]))])],
        name=f"{node.name}.flatten",
    )
    node.replace_input_with(0, flat.outputs[0])
    result.shape = flat.outputs[0].shape
    _append_reshape(graph, node, sizes)


def _append_reshape(graph: ir.Graph, node: ir.Node, sizes: Sequence[int]) -> None:
    """Reshape the result of a node; the reshaped value takes over its name."""
    result = node.outputs[0]
    target = ints(graph, node, "shape", [0, *sizes[1:]])
    back = ir.Node("", "Reshape", [result, target], name=f"{node.name}.unflatten", num_outputs=1)
    back.outputs[0].name = f"{node.name}.unflatten"
    back.outputs[0].type, back.outputs[0].shape = result.type, ir.Shape(sizes)
    graph.insert_after(node, back)
    users = [use for use in result.uses() if use.node is not back]
    for use in users:
        use.node.replace_input_with(use.idx, back.outputs[0])
    name = str(result.name)
    result.name, back.outputs[0].name = f"{name}__flat", name
    for index, output in enumerate(graph.outputs):
        if output is result:
            graph.outputs[index] = back.outputs[0]


def _reduce(graph: ir.Graph, node: ir.Node, version: int) -> None:
    axes = take_ints(node, "axes", 1, 13 if node.op_type == "ReduceSum" else 18, version)
    full = rank(node.inputs[0])
    if not axes:
        if attribute(node, "noop_with_empty_axes", 0):
            return
        axes = list(range(full))
    node.attributes.pop("noop_with_empty_axes", None)
    set_attribute(node, "keepdims", int(attribute(node, "keepdims", 1)))
    set_input(node, 1, ints(graph, node, "axes", sorted(axis % full for axis in axes)))


def _squeeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    sizes = shape(node.inputs[0])
    axes = take_ints(node, "axes", 1, 13, version)
    found = [i for i, size in enumerate(sizes) if size == 1] if axes is None else [a % len(sizes) for a in axes]
    if not found:
        node.op_type = "Identity"
        node.resize_inputs(1)
        return
    set_input(node, 1, ints(graph, node, "axes", sorted(found)))


def _unsqueeze(graph: ir.Graph, node: ir.Node, version: int) -> None:
    axes = take_ints(node, "axes", 1, 13, version)
    full = rank(node.outputs[0])
    set_input(node, 1, ints(graph, node, "axes", sorted(a % full for a in axes or [])))


def _split(graph: ir.Graph, node: ir.Node, version: int) -> None:
    axis = int(attribute(node, "axis", 0)) % rank(node.inputs[0])
    set_attribute(node, "axis", axis)
    take_ints(node, "split", 1, 13, version)
    node.attributes.pop("num_outputs", None)
    set_input(node, 1, ints(graph, node, "split", [shape(output)[axis] for output in node.outputs]))


def _clip(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if version < 11:
        for index, name in ((1, "min"), (2, "max")):
            bound = attribute(node, name)
            node.attributes.pop(name, None)
            if bound is not None:
                set_input(node, index, add_constant(graph, f"{node.name}.{name}", np.array(bound, dtype=np.float32)))


def _pad(graph: ir.Graph, node: ir.Node, version: int) -> None:
    full = rank(node.inputs[0])
    set_attribute(node, "mode", attribute(node, "mode", "constant"))
    pads = take_ints(node, "pads", 1, 11, version)
    assert pads is not None
    if version < 11:
        fill = float(attribute(node, "value", 0.0))
        node.attributes.pop("value", None)
        if fill:
            set_input(node, 2, add_constant(graph, f"{node.name}.value", np.array(fill, dtype=np.float32)))
    axes = input_value(node, 3)
    if axes is not None:
        chosen = constant(axes)
        if chosen is None:
            raise ModelError(f"{where(node)} expected constant axes, got '{axes.name}', computed at run time")
        complete = [0] * (2 * full)
        for position, axis in enumerate(chosen.ravel()):
            complete[int(axis) % full] = pads[position]
            complete[int(axis) % full + full] = pads[position + len(pads) // 2]
        pads = complete
    node.resize_inputs(min(len(node.inputs), 3))
    set_input(node, 1, ints(graph, node, "pads", pads))
    value = constant(input_value(node, 2))
    if len(node.inputs) == 3 and (
        node.inputs[2] is None or attribute(node, "mode") != "constant" or (value is not None and not value.any())
    ):
        node.resize_inputs(2)


def _slice(graph: ir.Graph, node: ir.Node, version: int) -> None:
    sizes = shape(node.inputs[0])
    starts = take_ints(node, "starts", 1, 10, version)
    ends = take_ints(node, "ends", 2, 10, version)
    axes = take_ints(node, "axes", 3, 10, version)
    steps = take_ints(node, "steps", 4, 10, version)
    assert starts is not None
    assert ends is not None
    axes = list(range(len(starts))) if axes is None else [axis % len(sizes) for axis in axes]
    rows = []
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        size = sizes[axis]
        begin, stop = (position + size if position < 0 else position for position in (start, end))
        if step > 0:
            begin, stop = min(max(begin, 0), size), min(max(stop, 0), size)
        else:
            # A stop before index 0 is written as -size-1: adding the size once gives -1.
            begin, stop = min(max(begin, 0), size - 1), min(max(stop, -1), size - 1)
            stop = -size - 1 if stop == -1 else stop
        if (begin, stop, step) != (0, size, 1):
            rows.append((axis, begin, stop, step))
    if not rows:
        node.op_type = "Identity"
        node.resize_inputs(1)
        return
    rows.sort()
    for index, (role, column) in enumerate((("starts", 1), ("ends", 2), ("axes", 0), ("steps", 3)), start=1):
        set_input(node, index, ints(graph, node, role, [row[column] for row in rows]))


def _reshape(graph: ir.Graph, node: ir.Node, version: int) -> None:
    node.attributes.pop("allowzero", None)
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if 0 in target:
        raise ModelError(f"{where(node)} expected a tensor with elements, got the empty shape {tuple(target)}")
    if source and target and source[0] == target[0]:
        target[0] = 0
    set_input(node, 1, ints(graph, node, "shape", target))


def _expand(graph: ir.Graph, node: ir.Node, version: int) -> None:
    source, target = shape(node.inputs[0]), list(shape(node.outputs[0]))
    if len(source) == len(target):
        target = [1 if a == b else b for a, b in zip(source, target, strict=True)]
    set_input(node, 1, ints(graph, node, "shape", target))


def _dropout(graph: ir.Graph, node: ir.Node, version: int) -> None:
    training = constant(input_value(node, 2))
    if input_value(node, 2) is not None and (training is None or bool(training.any())):
        raise ModelError(f"{where(node)} expected inference, got training mode; export the model with module.eval()")
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        raise ModelError(f"{where(node)} expected an unused mask, got one that is read; export with module.eval()")
    node.resize_outputs(1)
    node.resize_inputs(1)
    node.attributes.clear()
    node.op_type = "Identity"


def _batch_normalization(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if attribute(node, "training_mode", 0):
        raise ModelError(f"{where(node)} expected inference, got training_mode=1; export the model with module.eval()")
    if attribute(node, "spatial", 1) == 0:
        raise ModelError(f"{where(node)} expected one statistic per channel, got spatial=0")
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
        raise ModelError(f"{where(node)} expected inference with one output, got statistics that are read")
    for name in ("spatial", "training_mode", "momentum"):
        node.attributes.pop(name, None)
    node.resize_outputs(1)


def _transpose(graph: ir.Graph, node: ir.Node, version: int) -> None:
    full = rank(node.inputs[0])
    perm = attribute(node, "perm", tuple(reversed(range(full))))
    set_attribute(node, "perm", [int(axis) % full for axis in perm])


def _cast_like(graph: ir.Graph, node: ir.Node, version: int) -> None:
    dtype = node.outputs[0].dtype
    assert dtype is not None
    node.op_type = "Cast"
    node.resize_inputs(1)
    node.attributes.clear()
    set_attribute(node, "to", int(dtype))


def _group_normalization(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Before opset 21 there is one scale and bias per group, later one per channel."""
    if version >= 21:
        return
    repeats = shape(node.inputs[0])[1] // int(attribute(node, "num_groups"))
    for index, role in ((1, "scale"), (2, "bias")):
        array = constant(node.inputs[index])
        if array is None:
            raise ModelError(f"{where(node)} expected a constant {role}, got a computed one")
        set_input(node, index, add_constant(graph, f"{node.name}.{role}", np.repeat(array, repeats)))


def _default_only(name: str, default: int | str) -> Form:
    """An attribute newer than the target opset goes where it says what was always meant."""

    def form(graph: ir.Graph, node: ir.Node, version: int) -> None:
        if attribute(node, name, default) == default:
            node.attributes.pop(name, None)

    return form


def _roi_align(graph: ir.Graph, node: ir.Node, version: int) -> None:
    if version < 16:
        set_attribute(node, "coordinate_transformation_mode", "output_half_pixel")


def _depth_to_space(graph: ir.Graph, node: ir.Node, version: int) -> None:
    set_attribute(node, "mode", attribute(node, "mode", "DCR"))


FORMS: dict[str, Form] = {
    **dict.fromkeys(["Softmax", "LogSoftmax", "Hardmax"], _softmax),
    **dict.fromkeys(
        [
            "ReduceMean",
            "ReduceSum",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        ],
        _reduce,
    ),
    **dict.fromkeys(["Concat", "Gather", "ArgMax", "ArgMin"], _explicit_axis(0)),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization", "LpNormalization"], _explicit_axis(-1)),
    **dict.fromkeys(["MaxPool", "AveragePool", "LpPool"], pool),
    "BatchNormalization": _batch_normalization,
    "CastLike": _cast_like,
    "Clip": _clip,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "GridSample": grid_sample,
    "GroupNormalization": _group_normalization,
    "Pad": _pad,
    "QLinearConv": conv,
    "Range": _default_only("stash_type", 1),
    "Reshape": _reshape,
    "Resize": resize,
    "RoiAlign": _roi_align,
    "Slice": _slice,
    "SpaceToDepth": _default_only("mode", "DCR"),
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": upsample,
}
