"""Sums, products, functions of one value, changes of scale, softmax."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError
from intaglio.export.tflite.fused_clamps import Clamped, activation_range, add_clamp
from intaglio.export.tflite.kernel_factors import same_factor
from intaglio.export.tflite.rows import Row, params_of
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.number import QuantParams, Requantize, Rule
from intaglio.program import Node
from intaglio.program.factors import scale_of, tflite_mul_factor, zero_point_of
from intaglio.program.operator import Ints
from intaglio.program.operators.add import Add
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.log_softmax import LogSoftmax
from intaglio.program.operators.lut import Function, Lut
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.requantize import Requantize as ChangeOfScale
from intaglio.program.operators.softmax_tflite import SoftmaxTflite


def add(file: TfliteFile, node: Node) -> None:
    """ADD and SUB."""
    operator = node.operator
    assert isinstance(operator, Add)
    a, b, y = (params_of(file, name) for name in (*node.inputs, node.output))
    _same_types(a, b, y)
    theirs = Add.from_real(a, b, y, rule=Rule.TFLITE)
    pairs = [
        (operator.a_requantize, theirs.a_requantize),
        (operator.b_requantize, theirs.b_requantize),
        (operator.requantize, theirs.requantize),
    ]
    if operator.left_shift != 20 or not all(_same(*pair) for pair in pairs):
        raise ExportError("expected the factors of 8-bit sums, which follow from the scales, got others")
    out = Clamped(file, node.output, operator.low, operator.high)
    kind, table = ("ADD", "AddOptions") if operator.b_sign > 0 else ("SUB", "SubOptions")
    inputs = [file.tensor(name) for name in node.inputs]
    file.operator(kind, inputs, out.output, table, FusedActivationFunction=out.activation)
    out.finish()


def mul(file: TfliteFile, node: Node) -> None:
    """MUL."""
    operator = node.operator
    assert isinstance(operator, Mul)
    a, b, y = (params_of(file, name) for name in (*node.inputs, node.output))
    _same_types(a, b, y)
    if not same_factor(operator.requantize, tflite_mul_factor(a, b, y)):
        raise ExportError("expected a factor that is s_a * s_b / s_y, got one that holds more than scales")
    out = Clamped(file, node.output, operator.low, operator.high)
    inputs = [file.tensor(name) for name in node.inputs]
    file.operator("MUL", inputs, out.output, "MulOptions", FusedActivationFunction=out.activation)
    out.finish()


def requantize(file: TfliteFile, node: Node) -> None:
    """QUANTIZE, of codes."""
    operator = node.operator
    assert isinstance(operator, ChangeOfScale)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    if not same_factor(operator.requantize, scale_of(x) / scale_of(y)):
        raise ExportError("expected a factor that is s_x / s_y, got one that holds more than scales")
    out = Clamped(file, node.output, operator.low, operator.high, fuses=False)
    file.operator("QUANTIZE", [file.tensor(node.inputs[0])], out.output, "QuantizeOptions")
    out.finish()


def clamp(file: TfliteFile, node: Node) -> None:
    """RELU, RELU6 and RELU_N1_TO_1 of equal scales; MAXIMUM and MINIMUM for other bounds."""
    operator = node.operator
    assert isinstance(operator, Clamp)
    y, given = params_of(file, node.output), file.tensor(node.inputs[0])
    _same_grid(params_of(file, node.inputs[0]), y)
    bounds = (operator.low, operator.high)
    for kind, version in (("RELU", 2), ("RELU6", 2), ("RELU_N1_TO_1", 1)):
        if activation_range(kind, y) == bounds:
            file.operator(kind, [given], file.tensor(node.output), version=version)
            return
    if bounds == (y.type.qmin, y.type.qmax):
        shape = file.ints(f"{node.name}.shape", file.program.tensors[node.output].shape)
        file.operator("RESHAPE", [given, shape], file.tensor(node.output), "ReshapeOptions", 1)
        return
    add_clamp(file, given, node.output, *bounds)


def softmax(file: TfliteFile, node: Node) -> None:
    """SOFTMAX."""
    operator = node.operator
    assert isinstance(operator, SoftmaxTflite)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    theirs = SoftmaxTflite.from_real(x, y)
    found, wanted = ((s.multiplier, s.left_shift, s.diff_min) for s in (operator, theirs))
    if found != wanted:
        raise ExportError("expected the factor of a softmax without temperature, got another")
    file.operator("SOFTMAX", [file.tensor(node.inputs[0])], file.tensor(node.output), "SoftmaxOptions", Beta=1.0)


def log_softmax(file: TfliteFile, node: Node) -> None:
    """LOG_SOFTMAX, whose output has the scale 1/16 and the zero point 127."""
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    _same_types(x, y)
    assert isinstance(node.operator, LogSoftmax)
    if (scale_of(y), zero_point_of(y)) != (16 / 256, 127):
        raise ExportError(
            f"expected the output scale 1/16 and zero point 127, got {scale_of(y)} and {zero_point_of(y)}"
        )
    file.operator("LOG_SOFTMAX", [file.tensor(node.inputs[0])], file.tensor(node.output), "LogSoftmaxOptions")


def lut(file: TfliteFile, node: Node) -> None:
    """LOGISTIC, TANH, EXP, GELU, ABS, LEAKY_RELU: the function whose kernel gives the table."""
    operator = node.operator
    assert isinstance(operator, Lut)
    x, y = params_of(file, node.inputs[0]), params_of(file, node.output)
    _same_types(x, y)
    if operator.table.ndim > 1:
        raise ExportError("expected one table, got one for each channel")
    given, output = file.tensor(node.inputs[0]), file.tensor(node.output)
    for kind, (version, function) in _FUNCTIONS.items():
        if np.array_equal(Lut.from_real(x, y, function).table, operator.table):
            if kind in _GRIDS and (scale_of(y), zero_point_of(y)) != _GRIDS[kind]:
                scale, zero_point = _GRIDS[kind]
                raise ExportError(
                    f"expected the output scale {scale} and zero point {zero_point} of TFLite's {kind}, got "
                    f"{scale_of(y)} and {zero_point_of(y)}; quantize for the target tflite-int8"
                )
            file.operator(kind, [given], output, version=version)
            return
    absolute = Lut.from_slopes(x, y, (-1.0, 1.0), low=None, high=None)
    if np.array_equal(absolute.table, operator.table):
        file.operator("ABS", [given], output, "AbsOptions")
        return
    slope = _slope(operator.table, x, y)
    if slope is not None:
        file.operator("LEAKY_RELU", [given], output, "LeakyReluOptions", Alpha=slope)
        return
    raise ExportError(
        "expected a function of which TFLite's int8 kernel gives the same integers (logistic, tanh, exp, GELU, abs, "
        "leaky ReLU), got another; replace it in the network, for example by a ReLU"
    )


def _gelu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0))), np.float64)


_FUNCTIONS: dict[str, tuple[int, Function]] = {
    "LOGISTIC": (2, lambda x: 1.0 / (1.0 + np.exp(-x))),
    "TANH": (2, np.tanh),
    "EXP": (2, np.exp),
    "GELU": (2, _gelu),
}
_GRIDS = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}


def _slope(table: Ints, x: QuantParams, y: QuantParams) -> float | None:
    """Find the slope below 0 from which TFLite's LEAKY_RELU makes a table; None if there is none."""
    steps = np.arange(256) - 128 - zero_point_of(x)
    inside = (steps < 0) & (table > y.type.qmin) & (table < y.type.qmax)
    if not inside.any():
        return None
    results = table[inside].astype(np.float64) - zero_point_of(y)
    low, high = (np.sort((results + half) / steps[inside]) for half in (0.5, -0.5))
    middle = (low.max() + high.min()) / 2 * scale_of(y) / scale_of(x)
    # Its two roundings blur the bounds by half a step, so slopes nearby are tried, those with few digits first.
    nearby = [float(f"{middle:.{digits}g}") for digits in (1, 2, 3)] + list(middle * np.linspace(0.95, 1.05, 101))
    for slope in (float(np.float32(value)) for value in nearby if value > 0):
        if np.array_equal(Lut.from_slopes(x, y, (slope, 1.0), low=None, high=None).table, table):
            return slope
    return None


def _same(found: Requantize, wanted: Requantize) -> bool:
    return found.rule is wanted.rule and bool(
        np.all(found.multiplier == wanted.multiplier) and np.all(found.shift == wanted.shift)
    )


def _same_types(*params: QuantParams) -> None:
    kinds = {(p.type.bits, p.type.signed) for p in params}
    if kinds != {(8, True)}:
        raise ExportError(f"expected int8 everywhere, got {', '.join(str(p.type) for p in params)}")


def _same_grid(x: QuantParams, y: QuantParams) -> None:
    if (scale_of(x), zero_point_of(x)) != (scale_of(y), zero_point_of(y)):
        raise ExportError("expected equal scales and zero points of input and output, got others")


ROWS: dict[str, Row] = {
    "add": add,
    "clamp": clamp,
    "log_softmax": log_softmax,
    "lut": lut,
    "mul": mul,
    "requantize": requantize,
    "softmax_tflite": softmax,
}
