"""Operators on elements: functions of one operand, and of several that broadcast."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.contents import TfliteOperator, TfliteTensor
from intaglio.frontends.tflite.fused_activation import CLAMPS, activate, clamp
from intaglio.frontends.tflite.tflite_builder import AttributeValue, TfliteBuilder, channels_first

Form = Callable[[TfliteBuilder, TfliteOperator], None]

_FUSING = {"ADD", "DIV", "MUL", "SUB"}
"""Operators with a fused activation among their options."""


def operands(b: TfliteBuilder, op: TfliteOperator) -> tuple[list[ir.Value], bool]:
    """Return the operands in one order, and whether it is channels-first: where one of four axes was computed so."""
    found = [op.input(index) for index in range(len(op.inputs))]
    rank = len(op.outputs[0].shape)
    computed = [tensor for tensor in found if tensor.data is None]
    first = any(b.is_first(tensor) for tensor in computed) and all(len(tensor.shape) == rank for tensor in computed)
    return [_first(b, tensor, rank) if first else b.value(tensor) for tensor in found], first


def _first(b: TfliteBuilder, tensor: TfliteTensor, rank: int) -> ir.Value:
    if tensor.data is None or len(tensor.shape) == rank:
        return b.first(tensor)
    if len(tensor.shape) > rank:
        raise ModelError(f"tensor '{tensor.name}': expected at most {rank} axes, got {tensor.shape}")
    if tensor.data.size == 1:
        return b.constant_of(tensor, shape=(1,) * rank)
    sizes = (1,) * (rank - len(tensor.shape)) + tensor.shape
    return b.constant_of(tensor, shape=tuple(sizes[axis] for axis in channels_first(rank)), perm=_turned(tensor, rank))


def _turned(tensor: TfliteTensor, rank: int) -> tuple[int, ...]:
    """Return the part of the transposition to channels-first that falls on a constant of fewer axes."""
    missing = rank - len(tensor.shape)
    return tuple(axis - missing for axis in channels_first(rank) if axis >= missing)


def plain(op_type: str, attributes: Mapping[str, AttributeValue] | None = None) -> Form:
    """Make the form of an operator that ONNX has too."""

    def form(b: TfliteBuilder, op: TfliteOperator) -> None:
        given, first = operands(b, op)
        value = b.node(op_type, given, attributes)
        if op.kind in _FUSING:
            activate(b, op, value, first=first)
        else:
            b.define(op.outputs[0], value, first=first)

    return form


def _clamp(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    b.define(op.outputs[0], clamp(b, given[0], op.kind), first=first)


def _leaky_relu(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    value = b.node("LeakyRelu", given, {"alpha": float(op.options.get("Alpha", 0.0))})
    b.define(op.outputs[0], value, first=first)


def _gelu(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    kind = "tanh" if op.options.get("Approximate", False) else "none"
    b.define(op.outputs[0], b.node("Gelu", given, {"approximate": kind}), first=first)


def _rsqrt(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    b.define(op.outputs[0], b.node("Reciprocal", [b.node("Sqrt", given)]), first=first)


def _square(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    b.define(op.outputs[0], b.node("Mul", [given[0], given[0]]), first=first)


def _squared_difference(b: TfliteBuilder, op: TfliteOperator) -> None:
    _needs_float(b, op)
    given, first = operands(b, op)
    difference = b.node("Sub", given)
    b.define(op.outputs[0], b.node("Mul", [difference, difference]), first=first)


def _floor_div(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    value = b.node("Div", given)
    if op.outputs[0].kind == "FLOAT32":
        value = b.node("Floor", [value])
    elif not all(tensor is not None and _positive(tensor) for tensor in op.inputs):
        raise UnsupportedOperatorError(f"{op.where} expected real numbers, or constants above 0, got integers")
    b.define(op.outputs[0], value, first=first)


def _positive(tensor: TfliteTensor) -> bool:
    return tensor.data is not None and bool((tensor.data > 0).all())


def _needs_float(b: TfliteBuilder, op: TfliteOperator) -> None:
    """Refuse codes where TFLite's kernel has an arithmetic that Intaglio has not."""
    if not b.is_real(op.outputs[0]):
        raise UnsupportedOperatorError(
            f"{op.where} expected real numbers, got codes: Intaglio has no integers that equal TFLite's here; give the "
            "float model, and quantize it with the target tflite-int8"
        )


def _cast(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    kind = ir.DataType.from_numpy(op.outputs[0].dtype)
    b.define(op.outputs[0], b.node("Cast", given, {"to": int(kind)}), first=first)


def _select(b: TfliteBuilder, op: TfliteOperator) -> None:
    given, first = operands(b, op)
    b.define(op.outputs[0], b.node("Where", given), first=first)


def _quantize(b: TfliteBuilder, op: TfliteOperator) -> None:
    """QUANTIZE: from real numbers, or from codes to other codes."""
    x, y = op.input(0), op.outputs[0]
    first = b.is_first(x)
    value = b.first(x) if first else b.value(x)
    if b.is_real(x) or y.params is None:
        b.define(y, b.node("Identity", [value]), first=first)
        return
    # The Clip changes no value: what lies beyond the codes is saturated anyway. It stands for the requantization.
    info = np.iinfo(y.dtype)
    ends = [(end - y.params.zero_point[0]) * y.params.scale[0] for end in (info.min, info.max)]
    bounds = [
        b.constant(np.array(end, np.float32), f"{y.name}.{which}")
        for which, end in zip(("low", "high"), ends, strict=True)
    ]
    b.define(y, b.node("Clip", [value, *bounds]), first=first)


def _dequantize(b: TfliteBuilder, op: TfliteOperator) -> None:
    """DEQUANTIZE: the real value of codes, or of half-precision numbers."""
    x, y = op.input(0), op.outputs[0]
    first = b.is_first(x)
    b.define(y, b.node("Identity", [b.first(x) if first else b.value(x)]), first=first)


FORMS: dict[str, Form] = {
    "ABS": plain("Abs"),
    "ADD": plain("Add"),
    "CAST": _cast,
    "CEIL": plain("Ceil"),
    "COS": plain("Cos"),
    "DEQUANTIZE": _dequantize,
    "DIV": plain("Div"),
    "ELU": plain("Elu"),
    "EQUAL": plain("Equal"),
    "EXP": plain("Exp"),
    "FLOOR": plain("Floor"),
    "FLOOR_DIV": _floor_div,
    "GELU": _gelu,
    "GREATER": plain("Greater"),
    "GREATER_EQUAL": plain("GreaterOrEqual"),
    "HARD_SWISH": plain("HardSwish"),
    "LEAKY_RELU": _leaky_relu,
    "LESS": plain("Less"),
    "LESS_EQUAL": plain("LessOrEqual"),
    "LOG": plain("Log"),
    "LOGICAL_AND": plain("And"),
    "LOGICAL_NOT": plain("Not"),
    "LOGICAL_OR": plain("Or"),
    "LOGISTIC": plain("Sigmoid"),
    "MAXIMUM": plain("Max"),
    "MINIMUM": plain("Min"),
    "MUL": plain("Mul"),
    "NEG": plain("Neg"),
    "POW": plain("Pow"),
    "PRELU": plain("PRelu"),
    "QUANTIZE": _quantize,
    "ROUND": plain("Round"),
    "RSQRT": _rsqrt,
    "SELECT": _select,
    "SELECT_V2": _select,
    "SIGN": plain("Sign"),
    "SIN": plain("Sin"),
    "SQRT": plain("Sqrt"),
    "SQUARE": _square,
    "SQUARED_DIFFERENCE": _squared_difference,
    "SUB": plain("Sub"),
    "TANH": plain("Tanh"),
    **dict.fromkeys(CLAMPS, _clamp),
}
