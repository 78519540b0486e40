"""Convolutions and pools with every window parameter written out: no auto_pad, no implied kernel, stride or group."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import attribute, shape, where
from intaglio.graph.edit import set_attribute


def _window(node: ir.Node, kernel: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and explicit pads, set on the node. kernel: sizes of the window, one per spatial axis."""
    axes = len(kernel)
    strides = [int(item) for item in attribute(node, "strides", (1,) * axes)]
    dilations = [int(item) for item in attribute(node, "dilations", (1,) * axes)]
    pads = [int(item) for item in attribute(node, "pads", (0,) * (2 * axes))]
    set_attribute(node, "kernel_shape", list(kernel))
    set_attribute(node, "strides", strides)
    set_attribute(node, "dilations", dilations)
    return strides, dilations, pads


def _auto_pad(node: ir.Node) -> str:
    mode = str(attribute(node, "auto_pad", "NOTSET"))
    node.attributes.pop("auto_pad", None)
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"{where(node)} expected auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {mode!r}")
    return mode


def _share(total: int, upper: bool) -> tuple[int, int]:
    """Padding split over both ends; the odd one goes to the end for SAME_UPPER, to the beginning for SAME_LOWER."""
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def _same_pads(node: ir.Node, sizes: tuple[int, ...], kernel: tuple[int, ...], mode: str) -> list[int]:
    strides, dilations = attribute(node, "strides"), attribute(node, "dilations")
    pairs = []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        pairs.append(_share(max((-(-size // stride) - 1) * stride + reach - size, 0), mode == "SAME_UPPER"))
    return [begin for begin, _ in pairs] + [end for _, end in pairs]


def conv(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Conv and QLinearConv."""
    weight = shape(node.inputs[3 if node.op_type == "QLinearConv" else 1])
    mode, kernel = _auto_pad(node), weight[2:]
    _, _, pads = _window(node, kernel)
    if mode.startswith("SAME"):
        pads = _same_pads(node, shape(node.inputs[0])[2:], kernel, mode)
    set_attribute(node, "pads", [0] * len(pads) if mode == "VALID" else pads)
    set_attribute(node, "group", int(attribute(node, "group", 1)))


def pool(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """MaxPool, AveragePool, LpPool. Rounding sizes up becomes a larger pad at the end, where that is the same."""
    kernel = tuple(int(item) for item in attribute(node, "kernel_shape"))
    mode = _auto_pad(node)
    strides, dilations, pads = _window(node, kernel)
    sizes, results = shape(node.inputs[0])[2:], shape(node.outputs[0])[2:]
    if mode.startswith("SAME"):
        pads = _same_pads(node, sizes, kernel, mode)
    elif mode == "VALID":
        pads = [0] * len(pads)
    if attribute(node, "ceil_mode", 0):
        pads = _without_ceil(node, pads, sizes, results, kernel, strides, dilations)
    set_attribute(node, "pads", pads)
    if node.op_type == "AveragePool":
        set_attribute(node, "count_include_pad", int(attribute(node, "count_include_pad", 0)))
    node.attributes.pop("storage_order", None)
    if len(node.outputs) > 1 and not (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        node.resize_outputs(1)


def _without_ceil(
    node: ir.Node,
    pads: list[int],
    sizes: tuple[int, ...],
    results: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: list[int],
    dilations: list[int],
) -> list[int]:
    """The pads with which rounding down gives the same windows; ceil_mode stays where there are none.

    A maximum ignores padding and so does an average that does not count it. One that counts it would count the
    added cells too, which ceil_mode does not.
    """
    axes, ends = len(kernel), []
    for axis in range(axes):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        end = (results[axis] - 1) * strides[axis] + reach - sizes[axis] - pads[axis]
        ends.append(max(end, pads[axes + axis]))
    grown = ends != pads[axes:]
    counts = node.op_type == "LpPool" or (node.op_type == "AveragePool" and attribute(node, "count_include_pad", 0))
    if grown and (counts or any(end >= width for end, width in zip(ends, kernel, strict=True))):
        return pads
    node.attributes.pop("ceil_mode", None)
    return [*pads[:axes], *ends]


def conv_transpose(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """ConvTranspose: pads follow from auto_pad or output_shape, after which neither is needed."""
    kernel = shape(node.inputs[1])[2:]
    mode = _auto_pad(node)
    strides, dilations, pads = _window(node, kernel)
    axes = len(kernel)
    extra = [int(item) for item in attribute(node, "output_padding", (0,) * axes)]
    wanted = attribute(node, "output_shape")
    node.attributes.pop("output_shape", None)
    sizes, results = shape(node.inputs[0])[2:], shape(node.outputs[0])[2:]
    if wanted is not None or mode.startswith("SAME"):
        pairs = []
        for axis in range(axes):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = strides[axis] * (sizes[axis] - 1) + extra[axis] + reach - results[axis]
            if total < 0:
                extra[axis] -= total
                total = 0
            pairs.append(_share(total, mode == "SAME_UPPER"))
        pads = [begin for begin, _ in pairs] + [end for _, end in pairs]
    elif mode == "VALID":
        pads = [0] * (2 * axes)
    set_attribute(node, "pads", pads)
    set_attribute(node, "output_padding", extra)
    set_attribute(node, "group", int(attribute(node, "group", 1)))
