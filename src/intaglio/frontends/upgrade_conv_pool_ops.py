"""Upgrade convolutions and pools: write every window parameter: no auto_pad, no implied kernel, stride or group."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import attribute, input_value, rank, shape, where
from intaglio.graph.edit import set_attribute

_LARGEST = 2**31  # the limit of sizes in a Program and in C


def _window(node: ir.Node, kernel: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """Set strides, dilations and explicit pads on the node. kernel: sizes of the window, one per spatial axis."""
    axes = len(kernel)
    strides = [int(item) for item in attribute(node, "strides", (1,) * axes)]
    dilations = [int(item) for item in attribute(node, "dilations", (1,) * axes)]
    pads = [int(item) for item in attribute(node, "pads", (0,) * (2 * axes))]
    for what, least, count, found in (
        ("kernel_shape", 1, rank(node.inputs[0]) - 2, kernel),
        ("strides", 1, axes, strides),
        ("dilations", 1, axes, dilations),
        ("pads", 0, 2 * axes, pads),
    ):
        if len(found) != count or not all(least <= item < _LARGEST for item in found):
            raise ModelError(f"{where(node)} expected {what} of {count} numbers from {least} on, got {list(found)}")
    set_attribute(node, "kernel_shape", list(kernel))
    set_attribute(node, "strides", strides)
    set_attribute(node, "dilations", dilations)
    return strides, dilations, pads


def _set_group(node: ir.Node, weight: tuple[int, ...], bias: ir.Value | None) -> None:
    """Give a convolution its number of groups, which fits the channels of input, weight and bias.

    Args:
        node: its first input is the data.
        weight: shape, (O, I/group, *K), or (I, O/group, *K) where the convolution is transposed.
        bias: (O,), None where there is none.
    """
    group, x = int(attribute(node, "group", 1)), shape(node.inputs[0])
    transposed = node.op_type == "ConvTranspose"
    given = tuple(attribute(node, "kernel_shape", weight[2:]))
    inputs, outputs = (weight[0], weight[1] * group) if transposed else (weight[1] * group, weight[0])
    if len(x) != len(weight) or len(x) < 3 or given != weight[2:]:
        raise ModelError(
            f"{where(node)} expected a weight for an input of shape {x}, got one of shape {weight} and kernel_shape "
            f"{list(given)}"
        )
    if group < 1 or weight[0] % group or x[1] != inputs:
        raise ModelError(
            f"{where(node)} expected groups that divide the channels of input and weight, got {group} for an input of "
            f"shape {x} and a weight of shape {weight}"
        )
    if bias is not None and shape(bias) != (outputs,):
        raise ModelError(f"{where(node)} expected a bias of shape {(outputs,)}, got {shape(bias)}")
    set_attribute(node, "group", group)


def _auto_pad(node: ir.Node) -> str:
    mode = str(attribute(node, "auto_pad", "NOTSET"))
    node.attributes.pop("auto_pad", None)
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ModelError(f"{where(node)} expected auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {mode!r}")
    return mode


def _share(total: int, upper: bool) -> tuple[int, int]:
    """Split padding over both ends; the odd one goes to the end for SAME_UPPER, to the beginning for SAME_LOWER."""
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


def _same_pads(node: ir.Node, sizes: tuple[int, ...], kernel: tuple[int, ...], mode: str) -> list[int]:
    strides, dilations = attribute(node, "strides"), attribute(node, "dilations")
    pairs = []
    for size, width, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        pairs.append(_share(max((-(-size // stride) - 1) * stride + reach - size, 0), mode == "SAME_UPPER"))
    return [begin for begin, _ in pairs] + [end for _, end in pairs]


def conv(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade Conv and QLinearConv."""
    quantized = node.op_type == "QLinearConv"
    weight = shape(node.inputs[3 if quantized else 1])
    _set_group(node, weight, input_value(node, 8 if quantized else 2))
    mode, kernel = _auto_pad(node), weight[2:]
    _, _, pads = _window(node, kernel)
    if mode.startswith("SAME"):
        pads = _same_pads(node, shape(node.inputs[0])[2:], kernel, mode)
    set_attribute(node, "pads", [0] * len(pads) if mode == "VALID" else pads)


def pool(graph: ir.Graph, node: ir.Node, version: int) -> None:
    """Upgrade MaxPool, AveragePool, LpPool. Rounding up becomes a larger pad at the end, where that is the same."""
    kernel = tuple(int(item) for item in attribute(node, "kernel_shape"))
    mode = _auto_pad(node)
    strides, dilations, pads = _window(node, kernel)
    sizes, results = shape(node.inputs[0])[2:], shape(node.outputs[0])[2:]
    if mode.startswith("SAME"):
        pads = _same_pads(node, sizes, kernel, mode)
    elif mode == "VALID":
        pads = [0] * len(pads)
    reach = [(width - 1) * dilation + 1 for width, dilation in zip(kernel, dilations, strict=True)]
    if any(pad >= width for pad, width in zip(pads, 2 * reach, strict=True)):
        raise ModelError(f"{where(node)} expected pads smaller than the window {reach}, got {pads}")
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
    """Find the pads with which rounding down gives the same windows; ceil_mode stays where there are none.

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
    """Upgrade ConvTranspose: pads follow from auto_pad or output_shape, after which neither is needed."""
    weight = shape(node.inputs[1])
    _set_group(node, weight, input_value(node, 2))
    kernel = weight[2:]
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
