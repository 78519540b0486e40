"""Operators that move integers, and reductions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from intaglio.errors import ExportError
from intaglio.export.tflite.fused_clamps import Clamped
from intaglio.export.tflite.rows import Row, params_of
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.export.tflite.window_rows import add_pad
from intaglio.program import Node
from intaglio.program.factors import scale_of, tflite_mean
from intaglio.program.operators.argmax import ArgMax
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.depth_to_space import DepthToSpace
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.reduce_max import ReduceMax
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.space_to_depth import SpaceToDepth
from intaglio.program.operators.transpose import Transpose

_MOST_AXES = 6  # of LiteRT's TRANSPOSE; strided slices take 5


def reshape(file: TfliteFile, node: Node) -> None:
    """RESHAPE."""
    assert isinstance(node.operator, Reshape)
    _reshape(file, node, file.tensor(node.inputs[0]), node.operator.to)


def _reshape(file: TfliteFile, node: Node, x: int, to: Sequence[int]) -> None:
    shape = file.ints(f"{node.name}.shape", to)
    file.operator("RESHAPE", [x, shape], file.tensor(node.output), "ReshapeOptions", 1)


def transpose(file: TfliteFile, node: Node) -> None:
    """TRANSPOSE."""
    assert isinstance(node.operator, Transpose)
    _at_most(node, len(node.operator.axes), _MOST_AXES)
    _move(file, node, "TRANSPOSE", "TransposeOptions", file.ints(f"{node.name}.axes", node.operator.axes))


def slice_(file: TfliteFile, node: Node) -> None:
    """STRIDED_SLICE."""
    operator, shape = node.operator, file.program.tensors[node.inputs[0]].shape
    assert isinstance(operator, Slice)
    rank, end_mask = len(shape), 0
    _at_most(node, rank, _MOST_AXES - 1)
    begins, ends, steps = [0] * rank, list(shape), [1] * rank
    for axis, start, stop, step in zip(operator.axes, operator.starts, operator.stops, operator.steps, strict=True):
        begins[axis], ends[axis], steps[axis] = start, max(stop, 0), step
        end_mask |= (stop < 0) << axis  # before the first element
    if file.program.batched and 0 not in operator.axes:
        end_mask |= 1
    constants = [file.ints(f"{node.name}.{n}", v) for n, v in (("begin", begins), ("end", ends), ("step", steps))]
    given = [file.tensor(node.inputs[0]), *constants]
    file.operator("STRIDED_SLICE", given, file.tensor(node.output), "StridedSliceOptions", EndMask=end_mask)


def pad(file: TfliteFile, node: Node) -> None:
    """PAD or PADV2; a SLICE before it where it crops."""
    operator, name = node.operator, node.inputs[0]
    assert isinstance(operator, Pad)
    x, shape = file.tensor(name), file.program.tensors[name].shape
    _at_most(node, len(shape), 5)
    pairs = list(zip(operator.before, operator.after, strict=True))
    grows = any(max(pair) > 0 for pair in pairs)
    if any(min(pair) < 0 for pair in pairs):
        begins = [max(-before, 0) for before, _ in pairs]
        sizes = [n - max(-b, 0) - max(-a, 0) for n, (b, a) in zip(shape, pairs, strict=True)]
        y = file.between(name, f"{node.name}.cropped", sizes) if grows else file.tensor(node.output)
        constants = [file.ints(f"{node.name}.{n}", v) for n, v in (("begin", begins), ("size", sizes))]
        file.operator("SLICE", [x, *constants], y, "SliceOptions")
        x = y
        if not grows:
            return
    pads = file.ints(f"{node.name}.pads", np.maximum(np.array(pairs), 0))
    add_pad(file, name, x, pads, file.tensor(node.output), operator.value)


def concat(file: TfliteFile, node: Node) -> None:
    """CONCATENATION of equal scales."""
    assert isinstance(node.operator, Concat)
    infos = [file.program.tensors[name] for name in (*node.inputs, node.output)]
    if any(info.params != infos[0].params for info in infos):
        raise ExportError("expected equal scales and zero points of inputs and output, got others")
    options = {"Axis": node.operator.axis}
    given = [file.tensor(name) for name in node.inputs]
    file.operator("CONCATENATION", given, file.tensor(node.output), "ConcatenationOptions", **options)


def gather(file: TfliteFile, node: Node) -> None:
    """GATHER of constant indices."""
    assert isinstance(node.operator, Gather)
    indices = file.ints(f"{node.name}.indices", node.operator.indices)
    _move(file, node, "GATHER", "GatherOptions", indices, Axis=node.operator.axis)


def expand(file: TfliteFile, node: Node) -> None:
    """BROADCAST_TO."""
    assert isinstance(node.operator, Expand)
    to = file.program.tensors[node.output].shape
    _move(file, node, "BROADCAST_TO", "BroadcastToOptions", file.ints(f"{node.name}.shape", to))


def depth_to_space(file: TfliteFile, node: Node) -> None:
    """DEPTH_TO_SPACE, which has the order depth, column, row."""
    assert isinstance(node.operator, DepthToSpace)
    if node.operator.crd:
        raise ExportError(
            "expected channels in the order depth, column, row (DCR), got column, row, depth (CRD), which TFLite lacks"
        )
    given, options = file.tensor(node.inputs[0]), {"BlockSize": node.operator.block}
    file.operator("DEPTH_TO_SPACE", [given], file.tensor(node.output), "DepthToSpaceOptions", 1, **options)


def space_to_depth(file: TfliteFile, node: Node) -> None:
    """SPACE_TO_DEPTH."""
    assert isinstance(node.operator, SpaceToDepth)
    _move(file, node, "SPACE_TO_DEPTH", "SpaceToDepthOptions", BlockSize=node.operator.block)


def reduce_sum(file: TfliteFile, node: Node) -> None:
    """MEAN."""
    operator, shape = node.operator, file.program.tensors[node.inputs[0]].shape
    assert isinstance(operator, ReduceSum)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    count = math.prod(shape[axis] for axis in operator.axes)
    theirs, found = tflite_mean(scale_of(x) / scale_of(y), count), operator.requantize
    same = (found.multiplier, found.shift, found.rule) == (theirs.multiplier, theirs.shift, theirs.rule)
    if not same or found.wide:
        raise ExportError(
            "expected a mean, got a sum, or a mean with another factor, which TFLite's SUM computes otherwise"
        )
    out = Clamped(file, node.output, operator.low, operator.high, fuses=False)
    axes = file.ints(f"{node.name}.axes", operator.axes)
    given = [file.tensor(node.inputs[0]), axes]
    file.operator("MEAN", given, out.output, "ReducerOptions", KeepDims=operator.keepdims)
    out.finish()


def reduce_max(file: TfliteFile, node: Node) -> None:
    """REDUCE_MAX and REDUCE_MIN."""
    operator = node.operator
    assert isinstance(operator, ReduceMax)
    kind = "REDUCE_MIN" if operator.minimum else "REDUCE_MAX"
    axes = file.ints(f"{node.name}.axes", operator.axes)
    _move(file, node, kind, "ReducerOptions", axes, KeepDims=operator.keepdims)


def argmax(file: TfliteFile, node: Node) -> None:
    """ARG_MAX and ARG_MIN, of several equal elements the first."""
    operator = node.operator
    assert isinstance(operator, ArgMax)
    if operator.last:
        raise ExportError("expected the first of several equal elements, got the last")
    kind, table = ("ARG_MIN", "ArgMinOptions") if operator.minimum else ("ARG_MAX", "ArgMaxOptions")
    given = [file.tensor(node.inputs[0]), file.ints(f"{node.name}.axis", np.array(operator.axis))]
    shape = file.program.tensors[node.output].shape
    reduced = [n for axis, n in enumerate(shape) if axis != operator.axis]
    y = file.between(node.output, "reduced", reduced) if operator.keepdims else file.tensor(node.output)
    file.operator(kind, given, y, table, OutputType=file.flat.number("TensorType", "INT32"))
    if operator.keepdims:
        _reshape(file, node, y, shape)


def _move(file: TfliteFile, node: Node, kind: str, table: str, *more: int, **options: int) -> None:
    """Add an operator of one computed input and constants."""
    x = file.tensor(node.inputs[0])
    file.operator(kind, [x, *more], file.tensor(node.output), table, **options)


def _at_most(node: Node, rank: int, most: int) -> None:
    if rank > most:
        raise ExportError(f"expected at most {most} axes, which TFLite's kernel takes, got {rank}")


ROWS: dict[str, Row] = {
    "argmax": argmax,
    "concat": concat,
    "depth_to_space": depth_to_space,
    "expand": expand,
    "gather": gather,
    "pad": pad,
    "reduce_max": reduce_max,
    "reduce_sum": reduce_sum,
    "reshape": reshape,
    "slice": slice_,
    "space_to_depth": space_to_depth,
    "transpose": transpose,
}
