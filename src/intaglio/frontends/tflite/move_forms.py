"""Operators that move elements, and the arithmetic on shapes that converters write around them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.axis_forms import axis_of
from intaglio.frontends.tflite.constant_ints import int_list
from intaglio.frontends.tflite.contents import TfliteOperator
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder

Form = Callable[[TfliteBuilder, TfliteOperator], None]


def _reshape(b: TfliteBuilder, op: TfliteOperator) -> None:
    wanted = op.optional(1)
    if wanted is not None and wanted.data is None:
        sizes = b.node("Cast", [b.value(wanted)], {"to": int(ir.DataType.INT64)})
    else:
        numbers = op.options.ints("NewShape") if wanted is None else int_list(op, 1)
        sizes = b.ints(f"{op.outputs[0].name}.sizes", numbers)
    # TFLite has no 0 that stands for the size of the input.
    b.define(op.outputs[0], b.node("Reshape", [b.value(op.input(0)), sizes], {"allowzero": 1}))


def _to_shape(b: TfliteBuilder, op: TfliteOperator) -> None:
    """SQUEEZE and EXPAND_DIMS: the result's shape says it all."""
    x, y = op.input(0), op.outputs[0]
    rank = max(len(x.shape), len(y.shape))
    if op.kind == "SQUEEZE":
        axes = op.options.ints("SqueezeDims") or [axis for axis, size in enumerate(x.shape) if size == 1]
        b.define(y, b.node("Squeeze", [b.value(x), b.ints(f"{y.name}.axes", [a % rank for a in axes])]))
        return
    axis = axis_of(op, int_list(op, 1)[0], rank, first=False)
    b.define(y, b.node("Unsqueeze", [b.value(x), b.ints(f"{y.name}.axes", [axis])]))


def _shape(b: TfliteBuilder, op: TfliteOperator) -> None:
    b.define(op.outputs[0], b.node("Cast", [b.node("Shape", [b.value(op.input(0))])], {"to": _kind(op)}))


def _kind(op: TfliteOperator) -> int:
    return int(ir.DataType.from_numpy(op.outputs[0].dtype))


def _slice(b: TfliteBuilder, op: TfliteOperator) -> None:
    """SLICE: begins and sizes; -1 means all that is left."""
    x = op.input(0)
    begins, sizes = int_list(op, 1), int_list(op, 2)
    if not len(begins) == len(sizes) == len(x.shape):
        raise ModelError(f"{op.where} expected {len(x.shape)} begins and sizes, got {begins} and {sizes}")
    parts = [
        (axis, begin, size if rest == -1 else begin + rest, 1)
        for axis, (begin, rest, size) in enumerate(zip(begins, sizes, x.shape, strict=True))
        if (begin, rest) not in ((0, -1), (0, size))
    ]
    b.define(op.outputs[0], _sliced(b, op, parts))


def _sliced(b: TfliteBuilder, op: TfliteOperator, parts: list[tuple[int, int, int, int]]) -> ir.Value:
    """Add a Slice of (axis, begin, end, step); nothing but a name if there is nothing to cut."""
    value, name = b.value(op.input(0)), op.outputs[0].name
    if not parts:
        return b.node("Identity", [value])
    axes, begins, ends, steps = ([part[i] for part in parts] for i in range(4))
    given = [b.ints(f"{name}.{what}", numbers) for what, numbers in
             (("begins", begins), ("ends", ends), ("axes", axes), ("steps", steps))]  # fmt: skip
    return b.node("Slice", [value, *given])


def _strided_slice(b: TfliteBuilder, op: TfliteOperator) -> None:
    """STRIDED_SLICE with all of its masks, by the static sizes of its input."""
    x, y = op.input(0), op.outputs[0]
    begins, ends, steps = int_list(op, 1), int_list(op, 2), int_list(op, 3)
    masks = {name: int(op.options.get(f"{name}Mask")) for name in ("Begin", "End", "Ellipsis", "NewAxis", "ShrinkAxis")}
    if not len(begins) == len(ends) == len(steps):
        raise ModelError(f"{op.where} expected as many begins as ends and steps, got {begins}, {ends}, {steps}")
    if op.options.get("Offset", False):
        ends = [begin + end for begin, end in zip(begins, ends, strict=True)]

    def has(mask: str, index: int) -> bool:
        return bool(masks[mask] >> index & 1)

    taken = sum(not has("NewAxis", i) and not has("Ellipsis", i) for i in range(len(begins)))
    axis, position = 0, 0  # of the input, of the result before axes are removed
    parts: list[tuple[int, int, int, int]] = []
    added, removed = [], []
    for i, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        if has("Ellipsis", i):
            skipped = len(x.shape) - taken
            axis, position = axis + skipped, position + skipped
            continue
        if has("NewAxis", i):
            added.append(position)
            position += 1
            continue
        if axis >= len(x.shape) or step == 0:
            raise ModelError(f"{op.where} expected steps other than 0 on {len(x.shape)} axes, got {steps}")
        size = x.shape[axis]
        if has("ShrinkAxis", i):
            begin = begin + size if begin < 0 else begin
            if not 0 <= begin < size:
                raise ModelError(f"{op.where} expected an index below {size} on axis {axis}, got {begin}")
            parts.append((axis, begin, begin + 1, 1))
            removed.append(position)
        else:
            first, last, step = slice(None if has("Begin", i) else begin, None if has("End", i) else end, step).indices(
                size
            )
            if (first, last, step) != (0, size, 1):
                # Going backwards, slice() ends at -1, which ONNX counts from the end.
                parts.append((axis, first, last if last >= 0 else -size - 1, step))
        axis, position = axis + 1, position + 1
    value = _sliced(b, op, parts)
    if added:
        value = b.node("Unsqueeze", [value, b.ints(f"{y.name}.added", added)])
    if removed:
        value = b.node("Squeeze", [value, b.ints(f"{y.name}.removed", removed)])
    b.define(y, value)


def _gather(b: TfliteBuilder, op: TfliteOperator) -> None:
    x = op.input(0)
    if op.options.get("BatchDims", 0):
        raise UnsupportedOperatorError(f"{op.where} expected batch_dims 0, got {op.options.get('BatchDims')}")
    axis = axis_of(op, int(op.options.get("Axis")), len(x.shape), first=False)
    b.define(op.outputs[0], b.node("Gather", [b.value(x), b.value(op.input(1))], {"axis": axis}))


def _tile(b: TfliteBuilder, op: TfliteOperator) -> None:
    b.define(
        op.outputs[0], b.node("Tile", [b.value(op.input(0)), b.ints(f"{op.outputs[0].name}.repeats", int_list(op, 1))])
    )


def _broadcast_to(b: TfliteBuilder, op: TfliteOperator) -> None:
    sizes = b.ints(f"{op.outputs[0].name}.sizes", int_list(op, 1))
    b.define(op.outputs[0], b.node("Expand", [b.value(op.input(0)), sizes]))


def _fill(b: TfliteBuilder, op: TfliteOperator) -> None:
    sizes = b.node("Cast", [b.value(op.input(0))], {"to": int(ir.DataType.INT64)})
    b.define(op.outputs[0], b.node("Expand", [b.value(op.input(1)), sizes]))


def _range(b: TfliteBuilder, op: TfliteOperator) -> None:
    b.define(op.outputs[0], b.node("Range", [b.value(op.input(i)) for i in range(3)]))


def _blocks(op_type: str, mode: dict[str, str]) -> Form:
    def form(b: TfliteBuilder, op: TfliteOperator) -> None:
        size = int(op.options.get("BlockSize"))
        if size < 1:
            raise ModelError(f"{op.where} expected blocks of at least 1, got {size}")
        b.define(op.outputs[0], b.node(op_type, [b.first(op.input(0))], {"blocksize": size, **mode}), first=True)

    return form


def _resize(b: TfliteBuilder, op: TfliteOperator) -> None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR with either flag."""
    x, y = op.input(0), op.outputs[0]
    bilinear = op.kind == "RESIZE_BILINEAR"
    corners, half = bool(op.options.get("AlignCorners", False)), bool(op.options.get("HalfPixelCenters", False))
    mode = "align_corners" if corners else "half_pixel" if half else "asymmetric"
    sizes = int_list(op, 1)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ModelError(f"{op.where} expected height and width of at least 1, got {sizes}")
    factors = np.array([1, 1, *(out / size for out, size in zip(sizes, x.shape[1:3], strict=True))], np.float32)
    exact = all(int(size * float(f)) == out for size, f, out in zip(x.shape[1:3], factors[2:], sizes, strict=True))
    if exact and not corners:
        given = [b.first(x), None, b.constant(factors, f"{y.name}.scales")]
    else:
        given = [b.first(x), None, None, b.ints(f"{y.name}.sizes", [x.shape[0], x.shape[3], *sizes])]
    attributes = {"mode": "linear" if bilinear else "nearest", "coordinate_transformation_mode": mode}
    if not bilinear:
        # Half a pixel: floor((i + 0.5) * ratio) is the nearest, halves up, of ONNX's position, which is 0.5 lower.
        attributes["nearest_mode"] = "round_prefer_ceil" if corners or half else "floor"
    b.define(y, b.node("Resize", given, attributes), first=True)


FORMS: dict[str, Form] = {
    "BROADCAST_TO": _broadcast_to,
    "DEPTH_TO_SPACE": _blocks("DepthToSpace", {"mode": "DCR"}),
    "EXPAND_DIMS": _to_shape,
    "FILL": _fill,
    "GATHER": _gather,
    "RANGE": _range,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SHAPE": _shape,
    "SLICE": _slice,
    "SPACE_TO_DEPTH": _blocks("SpaceToDepth", {}),
    "SQUEEZE": _to_shape,
    "STRIDED_SLICE": _strided_slice,
    "TILE": _tile,
}
