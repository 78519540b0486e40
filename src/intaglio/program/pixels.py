"""Pictures of uint8 as inputs of a Program: their normalization and first quantization are one table for each channel.

    code[c] = quantize((pixel / 255 - mean[c]) / std[c])      for each of the 256 pixel values, in float32 as data are

A program that takes normalized real numbers computes the same integers from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import UsageError
from intaglio.number import UINT8, QuantParams
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.transpose import Transpose
from intaglio.program.structure import Node, ProgramStructure, TensorInfo, fresh

LAYOUTS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
"""Which axis of the Graph each axis of a picture is."""
_TO = {"NCHW": (0, 3, 1, 2), "NHWC": (0, 2, 3, 1)}
"""The order of axes that leads to a layout from the other one."""

_Program = TypeVar("_Program", bound=ProgramStructure)


def with_pixels(
    program: _Program,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    layout: str | None = None,
    *,
    name: str | None = None,
) -> _Program:
    """Let an input take pictures of uint8.

    Args:
        program: the Program; it takes normalized real numbers.
        mean, std: of each channel, after scaling to 0..1, or one number for all: what the network was calibrated with.
        layout: NCHW or NHWC; None keeps that of the input.
        name: of the input; None where there is only one.
    Returns:
        A Program whose input has the type uint8, scale 1 and zero point 0: real numbers given to `run` are pixels, too.
    Raises:
        UsageError: there is no such input, it is no batch of pictures, mean or standard deviation does not fit its
            channels, or its grid does not cover most pixels.
    """
    info = _input(program, name)
    own = "NHWC" if info.axes == LAYOUTS["NHWC"] else "NCHW"
    layout = own if layout is None else layout
    if layout not in LAYOUTS:
        raise UsageError(f"layout: expected NCHW or NHWC, got {layout!r}")
    table = _table(info, mean, std, info.shape[1 if own == "NCHW" else 3])
    channels_last = [info.shape[axis] for axis in (_TO["NHWC"] if own == "NCHW" else (0, 1, 2, 3))]
    sizes = {"NHWC": tuple(channels_last), "NCHW": tuple(channels_last[axis] for axis in _TO["NCHW"])}
    tensors, nodes = dict(program.tensors), list[Node]()
    one = QuantParams(UINT8, np.array(1.0, np.float32))
    tensors[info.name] = TensorInfo(info.name, sizes[layout], UINT8, one, None, LAYOUTS[layout])

    def emit(operator: Lut | Transpose, source: str, like: TensorInfo, form: str, role: str) -> str:
        made = fresh(f"{info.name}.{role}", tensors)
        tensors[made] = replace(like, name=made, shape=sizes[form], axes=LAYOUTS[form], graph_name=None)
        nodes.append(Node(fresh(made, {node.name for node in (*program.nodes, *nodes)}), operator, (source,), made))
        return made

    current, form = info.name, layout
    if table.ndim == 2 and form == "NCHW":
        form = "NHWC"
        current = emit(Transpose(_TO[form]), current, tensors[info.name], form, "channels_last")
    current = emit(Lut(table, UINT8, info.type), current, info, form, "codes")
    in_layout = {form: current}
    if form == own:
        tensors[current] = replace(tensors[current], graph_name=info.graph_name)
    rest, same = [], dict[str, str]()
    for node in program.nodes:
        turned = isinstance(node.operator, Transpose) and tuple(node.operator.axes) == _TO[form]
        if turned and form != own and node.inputs == (info.name,) and node.output not in program.outputs:
            same[node.output] = current
            del tensors[node.output]
            continue
        if info.name in node.inputs and own not in in_layout:
            in_layout[own] = emit(Transpose(_TO[own]), current, info, own, "codes")
            tensors[in_layout[own]] = replace(tensors[in_layout[own]], graph_name=info.graph_name)
        rest.append(node)
    same[info.name] = in_layout.get(own, current)
    moved = [replace(node, inputs=tuple(same.get(read, read) for read in node.inputs)) for node in rest]
    return replace(program, nodes=[*nodes, *moved], tensors=tensors)


def _input(program: ProgramStructure, name: str | None) -> TensorInfo:
    if name is None and len(program.inputs) != 1:
        raise UsageError(f"name: expected one of the inputs {', '.join(program.inputs)}, got none")
    name = program.inputs[0] if name is None else name
    if name not in program.inputs:
        raise UsageError(f"name: expected one of the inputs {', '.join(program.inputs)}, got {name!r}")
    info = program.tensors[name]
    if info.params is None or len(info.shape) != 4 or info.params.scale.ndim or info.name in program.outputs:
        raise UsageError(
            f"input '{name}': expected pictures, four axes of real numbers, got the shape {info.shape} of {info.type}"
        )
    if any(name == state.input for state in program.states):
        raise UsageError(f"input '{name}': expected pictures, got a state of the program")
    return info


def _table(
    info: TensorInfo, mean: float | Sequence[float], std: float | Sequence[float], channels: int
) -> NDArray[np.generic]:
    """Quantize the 256 pixel values; one table for each channel, or one for all of them."""
    rows = []
    for role, given in (("mean", mean), ("std", std)):
        row = np.atleast_1d(np.asarray(given, np.float32))
        if row.shape not in ((1,), (channels,)) or not np.isfinite(row).all() or (role == "std" and (row <= 0).any()):
            above = " above 0" if role == "std" else ""
            raise UsageError(f"{role}: expected one number{above}, or one for each of {channels} channels, got {given}")
        rows.append(row)
    real = (np.arange(256, dtype=np.float32)[:, None] / np.float32(255) - rows[0]) / rows[1]
    assert info.params is not None
    codes = info.params.quantize(real)
    step, zero = np.float32(info.params.scale), int(info.params.zero_point)
    low, high = ((code - zero) * step for code in (info.type.qmin, info.type.qmax))
    outside = int(np.count_nonzero((real < low - step) | (real > high + step), axis=0).max())
    if outside > 128:
        raise UsageError(
            f"input '{info.name}': expected pixels that are normalized to {low:.4g} ... {high:.4g}, the range of its "
            f"integers, got {real.min():.4g} ... {real.max():.4g}, of which {outside} of 256 values lie outside; give "
            "the mean and standard deviation that the network was calibrated with"
        )
    table = np.ascontiguousarray(codes.T)
    return table[0] if (table == table[0]).all() else table
