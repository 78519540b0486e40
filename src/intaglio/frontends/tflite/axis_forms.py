"""Operators along axes: reductions, softmax, concatenation, splits, padding. Channels-first images stay so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.constant_ints import int_list
from intaglio.frontends.tflite.contents import TfliteOperator, TfliteTensor
from intaglio.frontends.tflite.fused_activation import activate
from intaglio.frontends.tflite.schema import names_of
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder, channels_first

Form = Callable[[TfliteBuilder, TfliteOperator], None]


def ordered(b: TfliteBuilder, tensor: TfliteTensor) -> tuple[ir.Value, bool]:
    """Return a value in the order in which it was computed, and whether it is channels-first."""
    first = b.is_first(tensor)
    return (b.first(tensor) if first else b.value(tensor)), first


def axis_of(op: TfliteOperator, axis: int, rank: int, *, first: bool) -> int:
    """Return where an axis of the file is, counted from 0, in the order of the value."""
    if not -rank <= axis < rank:
        raise ModelError(f"{op.where} expected an axis from {-rank} to {rank - 1}, got {axis}")
    return channels_first(rank).index(axis % rank) if first else axis % rank


def _reduce(op_type: str) -> Form:
    def form(b: TfliteBuilder, op: TfliteOperator) -> None:
        x, y = op.input(0), op.outputs[0]
        value, first = ordered(b, x)
        keep = bool(op.options.get("KeepDims", False))
        rank = len(x.shape)
        axes = sorted({axis_of(op, axis, rank, first=first) for axis in int_list(op, 1)})
        if first and not keep and set(axes) != {*range(2, rank)}:  # what is left would have another order
            value, first = b.value(x), False
            axes = sorted({axis % rank for axis in int_list(op, 1)})
        if not axes:
            raise UnsupportedOperatorError(f"{op.where} expected axes, got none")
        node = b.node(op_type, [value, b.ints(f"{y.name}.axes", axes)], {"keepdims": int(keep)})
        b.define(y, node, first=first and keep)

    return form


def _softmax(b: TfliteBuilder, op: TfliteOperator) -> None:
    x = op.input(0)
    value, first = ordered(b, x)
    beta = float(op.options.get("Beta", 1.0)) if op.kind == "SOFTMAX" else 1.0
    if beta != 1.0:
        if not b.is_real(x):
            raise UnsupportedOperatorError(f"{op.where} expected beta 1 for codes, got {beta}")
        value = b.node("Mul", [value, b.constant(np.array(beta, np.float32), f"{op.outputs[0].name}.beta")])
    axis = axis_of(op, -1, len(x.shape), first=first)
    op_type = {"SOFTMAX": "Softmax", "LOG_SOFTMAX": "LogSoftmax"}[op.kind]
    b.define(op.outputs[0], b.node(op_type, [value], {"axis": axis}), first=first)


def _l2_normalization(b: TfliteBuilder, op: TfliteOperator) -> None:
    value, first = ordered(b, op.input(0))
    axis = axis_of(op, -1, len(op.input(0).shape), first=first)
    activate(b, op, b.node("LpNormalization", [value], {"axis": axis, "p": 2}), first=first)


def _concatenation(b: TfliteBuilder, op: TfliteOperator) -> None:
    found = [op.input(index) for index in range(len(op.inputs))]
    first = any(b.is_first(tensor) for tensor in found)
    values = [b.first(tensor) if first else b.value(tensor) for tensor in found]
    axis = axis_of(op, int(op.options.get("Axis")), len(op.outputs[0].shape), first=first)
    activate(b, op, b.node("Concat", values, {"axis": axis}), first=first)


def _split(b: TfliteBuilder, op: TfliteOperator) -> None:
    by_size = op.kind == "SPLIT_V"
    x, axis = (op.input(0), int_list(op, 2)) if by_size else (op.input(1), int_list(op, 0))
    value, first = ordered(b, x)
    if len(axis) != 1:
        raise ModelError(f"{op.where} expected one axis, got {axis}")
    place = axis_of(op, axis[0], len(x.shape), first=first)
    sizes = [tensor.shape[axis[0]] for tensor in op.outputs]
    if sum(sizes) != x.shape[axis[0]]:
        raise ModelError(f"{op.where} expected parts that add up to {x.shape[axis[0]]}, got {sizes}")
    parts = b.node_of("Split", [value, b.ints(f"{x.name}.parts", sizes)], {"axis": place}, outputs=len(sizes))
    for tensor, part in zip(op.outputs, parts, strict=True):
        b.define(tensor, part, first=first)


def _pack(b: TfliteBuilder, op: TfliteOperator) -> None:
    y = op.outputs[0]
    axis = axis_of(op, int(op.options.get("Axis")), len(y.shape), first=False)
    axes = b.ints(f"{y.name}.axes", [axis])
    parts = [b.node("Unsqueeze", [b.value(op.input(i)), axes]) for i in range(len(op.inputs))]
    b.define(y, b.node("Concat", parts, {"axis": axis}))


def _unpack(b: TfliteBuilder, op: TfliteOperator) -> None:
    x = op.input(0)
    axis = axis_of(op, int(op.options.get("Axis")), len(x.shape), first=False)
    sizes = b.ints(f"{x.name}.parts", [1] * len(op.outputs))
    parts = b.node_of("Split", [b.value(x), sizes], {"axis": axis}, outputs=len(op.outputs))
    for tensor, part in zip(op.outputs, parts, strict=True):
        b.define(tensor, b.node("Squeeze", [part, b.ints(f"{tensor.name}.axes", [axis])]))


def _pad(b: TfliteBuilder, op: TfliteOperator) -> None:
    """PAD, PADV2 and MIRROR_PAD: pairs (before, after) for each axis."""
    x, y = op.input(0), op.outputs[0]
    value, first = ordered(b, x)
    rank = len(x.shape)
    numbers = int_list(op, 1)
    if len(numbers) != 2 * rank:
        raise ModelError(f"{op.where} expected {2 * rank} paddings, got {len(numbers)}")
    order = channels_first(rank) if first else tuple(range(rank))
    pads = [numbers[2 * axis + side] for side in (0, 1) for axis in order]
    given: list[ir.Value | None] = [value, b.ints(f"{y.name}.pads", pads)]
    mode = "constant"
    if op.kind == "MIRROR_PAD":
        mode = "reflect" if names_of("MirrorPadMode").get(op.options.get("Mode")) == "REFLECT" else "symmetric"
        if mode == "symmetric":
            raise UnsupportedOperatorError(f"{op.where} expected REFLECT, got SYMMETRIC, which ONNX lacks")
    elif op.kind == "PADV2":
        given.append(_number(b, op))
    b.define(y, b.node("Pad", given, {"mode": mode}), first=first)


def _number(b: TfliteBuilder, op: TfliteOperator) -> ir.Value:
    value = op.input(2)
    if value.data is None or value.data.size != 1:
        raise ModelError(f"{op.where} expected one constant to pad with, got '{value.name}' of shape {value.shape}")
    real = value.data.reshape(()).astype(np.float64)
    if value.params is not None and not b.is_real(value):
        real = (real - value.params.zero_point[0]) * value.params.scale[0]
    return b.constant(np.array(real, np.float32), value.name)


def _arg(op_type: str) -> Form:
    def form(b: TfliteBuilder, op: TfliteOperator) -> None:
        x = op.input(0)
        axis = axis_of(op, int_list(op, 1)[0], len(x.shape), first=False)
        node = b.node(op_type, [b.value(x)], {"axis": axis, "keepdims": 0})
        if op.outputs[0].kind != "INT64":
            node = b.node("Cast", [node], {"to": int(ir.DataType.from_numpy(op.outputs[0].dtype))})
        b.define(op.outputs[0], node)

    return form


def _transpose(b: TfliteBuilder, op: TfliteOperator) -> None:
    x, y = op.input(0), op.outputs[0]
    perm = int_list(op, 1)
    rank = len(x.shape)
    if sorted(perm) != list(range(rank)):
        raise ModelError(f"{op.where} expected an order of {rank} axes, got {perm}")
    b.define(y, b.node("Transpose", [b.value(x)], {"perm": perm}))


FORMS: dict[str, Form] = {
    "ARG_MAX": _arg("ArgMax"),
    "ARG_MIN": _arg("ArgMin"),
    "CONCATENATION": _concatenation,
    "L2_NORMALIZATION": _l2_normalization,
    "LOG_SOFTMAX": _softmax,
    "MEAN": _reduce("ReduceMean"),
    "MIRROR_PAD": _pad,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "REDUCE_MAX": _reduce("ReduceMax"),
    "REDUCE_MIN": _reduce("ReduceMin"),
    "REDUCE_PROD": _reduce("ReduceProd"),
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SUM": _reduce("ReduceSum"),
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
