"""`integer` against real arithmetic: a plain NumPy formula over dequantized inputs.

Each case yields (operator, integer inputs, real result, output parameters, slack). An integer result lies within
`1/2 + slack` steps of the real one, before rounding: one rounding is all that there is, and the slack is the count of
what else rounds, in steps, which stands beside each case. `rounding_slack` adds what the multipliers lose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import single_operator_program

from intaglio.number import BOOLEAN, INT8, INT16, INT32, UINT8, IntType, QuantParams, Rule
from intaglio.number import Requantize as IntegerFactor
from intaglio.program import OPERATORS, Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.argmax import ArgMax
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.clamp_channels import ClampChannels
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.conv_transpose2d import ConvTranspose2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.depth_to_space import DepthToSpace
from intaglio.program.operators.div import Div
from intaglio.program.operators.dynamic_masked_softmax import DynamicMaskedSoftmax
from intaglio.program.operators.embedding_lookup import EmbeddingLookup
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.gather_elements import GatherElements
from intaglio.program.operators.gru import Gru
from intaglio.program.operators.integer_arithmetic import IntegerArithmetic
from intaglio.program.operators.integer_cumsum import IntegerCumSum
from intaglio.program.operators.layer_norm import LayerNorm
from intaglio.program.operators.log_softmax import LogSoftmax
from intaglio.program.operators.lstm import Lstm
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.masked_softmax import MaskedSoftmax
from intaglio.program.operators.matmul import MatMul
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.prelu import PRelu
from intaglio.program.operators.reduce_max import ReduceMax
from intaglio.program.operators.reduce_square import ReduceSquare
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.operators.relation import Relation
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.resize_bilinear import ResizeBilinear
from intaglio.program.operators.rnn import Rnn
from intaglio.program.operators.select import Select
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.softmax import Softmax
from intaglio.program.operators.softmax_tflite import SoftmaxTflite
from intaglio.program.operators.space_to_depth import SpaceToDepth
from intaglio.program.operators.transpose import Transpose
from intaglio.program.sampling import UINT16, codes, grid, params

Case = tuple[Operator, tuple[np.ndarray, ...], np.ndarray, QuantParams | None, float]
RULES_AND_TYPES = [(Rule.HALF_UP, UINT8), (Rule.TFLITE, INT8), (Rule.SHIFT, INT8), (Rule.HALF_UP, INT16)]
CASES: dict[str, Callable[[np.random.Generator], Iterator[Case]]] = {}


def case(function: Callable[[np.random.Generator], Iterator[Case]]) -> Callable[[np.random.Generator], Iterator[Case]]:
    CASES[function.__name__] = function
    return function


def real(p: QuantParams, q: np.ndarray) -> np.ndarray:
    """What codes stand for, in float64."""
    return p.scale.astype(np.float64) * (q.astype(np.float64) - p.zero_point)


def steps_of(p: QuantParams, x: np.ndarray, operator: Operator) -> np.ndarray:
    """Real results in steps of the output, clamped but not rounded."""
    low, high = getattr(operator, "low", p.type.qmin), getattr(operator, "high", p.type.qmax)
    return np.clip(x / float(p.scale) + int(p.zero_point), max(low, p.type.qmin), min(high, p.type.qmax))


def rounding_slack(operator: Operator, y: QuantParams) -> float:
    """What multipliers lose: their last bit on the largest result, and TFLite's first rounding, half of 2**-shift."""
    slack = 1e-9
    for value in vars(operator).values():
        if isinstance(value, IntegerFactor) and value.rule is not Rule.SHIFT:
            slack += 2.0 ** (-16 if value.wide else -31) * y.type.max_abs_offset(int(y.zero_point))
    last = [f for f in (getattr(operator, "requantize", None), getattr(operator, "negative", None)) if f is not None]
    shifts = np.concatenate([np.ravel(f.shift) for f in last if f.rule is Rule.TFLITE] or [np.zeros(0)])
    return slack + float((0.5 * 2.0**-shifts)[shifts >= 1].max(initial=0.0))


def assert_rounded(got: np.ndarray, want: np.ndarray, slack: float, what: str) -> None:
    apart = np.abs(got - want)
    bad = np.argwhere(apart > 0.5 + slack)
    assert not len(bad), (
        f"{what}: {len(bad)} of {got.size} are more than 1/2 + {slack:.3g} steps apart, up to {apart.max()}; "
        f"first at {bad[0]}: got {got[tuple(bad[0])]}, want {want[tuple(bad[0])]}"
    )


def conv(x: np.ndarray, w: np.ndarray, strides: Any, dilations: Any, pads: Any, groups: int) -> np.ndarray:
    """Position by position. x (N, H, W, I), w (O, kh, kw, I/g)."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    o, kh, kw, each = w.shape
    height = (x.shape[1] - (kh - 1) * dilations[0] - 1) // strides[0] + 1
    width = (x.shape[2] - (kw - 1) * dilations[1] - 1) // strides[1] + 1
    y = np.zeros((x.shape[0], height, width, o))
    for i, j in itertools.product(range(height), range(width)):
        rows = [i * strides[0] + u * dilations[0] for u in range(kh)]
        columns = [j * strides[1] + v * dilations[1] for v in range(kw)]
        seen = x[:, rows][:, :, columns]
        for k in range(o):
            g = k // (o // groups)
            y[:, i, j, k] = (seen[..., g * each : (g + 1) * each] * w[k]).sum(axis=(1, 2, 3))
    return y


def weights(rng: np.random.Generator, rule: Rule, shape: tuple[int, ...]) -> tuple[QuantParams, np.ndarray, np.ndarray]:
    """Parameters, codes and real values: per channel with zero points, per channel, or a power of two."""
    o = shape[0]
    if rule is Rule.SHIFT:
        w = grid(INT8, 2.0**-6)
    elif rule is Rule.TFLITE:
        w = grid(IntType(8, narrow=True), rng.uniform(0.005, 0.03, o))
    else:
        w = grid(UINT8, rng.uniform(0.005, 0.03, o), 117)
    q = codes(rng, w.type, shape)
    scale, zero = (np.reshape(v, (-1, *[1] * (len(shape) - 1))) for v in (w.scale.astype(np.float64), w.zero_point))
    return w, q, scale * (q - zero.astype(np.float64))


def bias_on_grid(rng: np.random.Generator, x: QuantParams, w: QuantParams, o: int) -> np.ndarray:
    """Real numbers that the bias' grid holds exactly, so that they add no rounding."""
    step = float(x.scale) * np.broadcast_to(w.scale.astype(np.float64).reshape(-1), (o,))
    return rng.integers(-3000, 3000, o) * step


@case
def conv2d(rng: np.random.Generator) -> Iterator[Case]:
    geometry = [
        (1, 3, 4, 3, (2, 1), (1, 2), (1, 0, 2, 1)),
        (4, 4, 8, 3, (1, 2), (2, 1), (2, 1, 1, 1)),
        (2, 4, 6, 1, (1, 1), (1, 1), (0,) * 4),
    ]
    for (rule, type), (groups, i, o, k, strides, dilations, pads) in itertools.product(RULES_AND_TYPES, geometry):
        x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, type, rule, 0.5)
        w, w_q, w_real = weights(rng, rule, (o, k, k, i // groups))
        bias, x_q = bias_on_grid(rng, x, w, o), codes(rng, type, (2, 6, 7, i))
        operator = Conv2d.from_real(
            x,
            w,
            y,
            w_q,
            bias,
            rule,
            strides=strides,
            dilations=dilations,
            pads=pads,
            groups=groups,
            low=y.type.qmin + 9,
        )
        yield operator, (x_q,), conv(real(x, x_q), w_real, strides, dilations, pads, groups) + bias, y, 0
    yield from _affine(rng)


def _affine(rng: np.random.Generator) -> Iterator[Case]:
    """A gain and an offset per channel, one of them almost dead.

    Slack: a bias is rounded to a quarter of an output step at most, so it is off by 1/8; weights by less than 1/20.
    """
    for rule, type in RULES_AND_TYPES:
        x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, type, rule, 0.1)
        gain, offset = np.array([0.3, -1.7, 1e-9, 0.02, 5.0]), rng.uniform(-20, 20, 5) * float(y.scale)
        x_q = codes(rng, type, (2, 3, 4, 5))
        yield Conv2d.from_affine(x, y, gain, offset, rule), (x_q,), real(x, x_q) * gain + offset, y, 1 / 8 + 1 / 20


@case
def conv_transpose2d(rng: np.random.Generator) -> Iterator[Case]:
    geometry = [
        (1, 3, 4, 3, (2, 1), (1, 2), (1, 0, 2, 1)),
        (4, 4, 8, 3, (1, 3), (2, 1), (2, 1, 1, 1)),
        (2, 4, 6, 1, (2, 2), (1, 1), (0,) * 4),
    ]
    for (rule, type), (groups, i, o, k, strides, dilations, pads) in itertools.product(RULES_AND_TYPES, geometry):
        extra = (strides[0] - 1, strides[1] - 1)
        x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, type, rule, 0.5)
        w, w_q, w_real = weights(rng, rule, (o, k, k, i // groups))
        bias, x_q = bias_on_grid(rng, x, w, o), codes(rng, type, (2, 4, 3, i))
        operator = ConvTranspose2d.from_real(
            x, w, y, w_q, bias, rule,
            strides=strides, dilations=dilations, pads=pads, output_padding=extra, groups=groups,
        )  # fmt: skip
        # Its definition: the convolution, with turned weights, of the input with zeros between.
        x_real = real(x, x_q)
        spread = np.zeros((2, (4 - 1) * strides[0] + 1, (3 - 1) * strides[1] + 1, i))
        spread[:, :: strides[0], :: strides[1]] = x_real
        reach = [(k - 1) * d for d in dilations]
        outer = (reach[0] - pads[0], reach[1] - pads[1], reach[0] - pads[2] + extra[0], reach[1] - pads[3] + extra[1])
        room = tuple(max(0, p) for p in outer)
        y_real = conv(spread, w_real[:, ::-1, ::-1], (1, 1), dilations, room, groups)
        crop = [r - p for r, p in zip(room, outer, strict=True)]
        y_real = y_real[:, crop[0] : y_real.shape[1] - crop[2], crop[1] : y_real.shape[2] - crop[3]]
        yield operator, (x_q,), y_real + bias, y, 0


@case
def dense(rng: np.random.Generator) -> Iterator[Case]:
    for (rule, type), shape in itertools.product(RULES_AND_TYPES, [(3, 20), (2, 3, 150), (7,)]):
        x, y = params(rng, type, rule, symmetric=type is INT16), params(rng, INT8, rule, 0.5)
        w, w_q, w_real = weights(rng, rule, (5, shape[-1]))
        bias, x_q = bias_on_grid(rng, x, w, 5), codes(rng, type, shape)
        yield Dense.from_real(x, w, y, w_q, bias, rule, high=100), (x_q,), real(x, x_q) @ w_real.T + bias, y, 0


@case
def matmul(rng: np.random.Generator) -> Iterator[Case]:
    for (rule, type), (a_shape, b_shape) in itertools.product(
        RULES_AND_TYPES, [((2, 5, 8), (2, 8, 3)), ((2, 3, 4, 70), (70, 2)), ((2, 1, 1, 9), (3, 9, 4))]
    ):
        a, b, y = params(rng, type, rule), params(rng, INT8, rule), params(rng, INT8, rule, 0.3)
        a_q, b_q = codes(rng, type, a_shape), codes(rng, INT8, b_shape)
        operator = MatMul.from_real(a, b, y, depth=a_shape[-1], rule=rule)
        yield operator, (a_q, b_q), real(a, a_q) @ real(b, b_q), y, 0


@case
def add(rng: np.random.Generator) -> Iterator[Case]:
    """Each operand is rounded to 2**-20 (2**-15) of twice the coarser step, which is half such a unit each."""
    for (rule, type), subtract, ratio in itertools.product(RULES_AND_TYPES, (False, True), (1.0, 0.3, 64.0, 1e-4)):
        if rule is Rule.SHIFT:
            ratio = 2.0 ** round(math.log2(ratio))
        a, b = params(rng, type, rule), params(rng, type, rule, 0.05 * ratio)
        y = params(rng, type, rule, 0.08 * max(1.0, ratio))
        a_q, b_q = codes(rng, type, (2, 40, 50)), codes(rng, type, (2, 1, 50))
        unit = 2 * max(float(a.scale), float(b.scale)) / float(y.scale) * 2.0 ** (-20 if type.bits == 8 else -15)
        total = real(a, a_q) - real(b, b_q) if subtract else real(a, a_q) + real(b, b_q)
        yield Add.from_real(a, b, y, rule=rule, subtract=subtract), (a_q, b_q), total, y, unit


@case
def mul(rng: np.random.Generator) -> Iterator[Case]:
    for rule, type in [*RULES_AND_TYPES, (Rule.HALF_UP, UINT16)]:
        a, b, y = params(rng, type, rule), params(rng, type, rule), params(rng, type, rule, 0.1)
        a_q, b_q = codes(rng, type, (2, 40, 3)), codes(rng, type, (3,))
        yield Mul.from_real(a, b, y, rule=rule), (a_q, b_q), real(a, a_q) * real(b, b_q), y, 0


@case
def div(rng: np.random.Generator) -> Iterator[Case]:
    """The reciprocal is cut off at its last bit, of at least `precision`."""
    for (rule, type), ratio in itertools.product(RULES_AND_TYPES, (8.0, 1024.0, 32768.0)):
        a, b, y = params(rng, type, rule), params(rng, type, rule), params(rng, type, rule, ratio / (1 << type.bits))
        a_q, b_q = codes(rng, type, (2, 40, 3)), codes(rng, type, (2, 1, 3))
        b_q = np.where(b_q == b.zero_point, b.zero_point + 1, b_q).astype(b_q.dtype)
        operator = Div.from_real(a, b, y, rule=rule)
        lost = 2.0 ** (1 - operator.precision) * y.type.max_abs_offset(int(y.zero_point))
        yield operator, (a_q, b_q), real(a, a_q) / real(b, b_q), y, lost


@case
def reduce_square(rng: np.random.Generator) -> Iterator[Case]:
    """A root is cut off, and a sum is rounded, at the last bit of the accumulator."""
    for (rule, type), root in itertools.product(RULES_AND_TYPES, (True, False)):
        x = params(rng, type, rule)
        y = params(rng, type, rule, 0.05 * 9 if root else 0.05**2 * 64 * 36)
        x_q = codes(rng, type, (2, 6, 6, 3))
        operator = ReduceSquare.from_real(x, y, axes=(1, 2), keepdims=False, root=root, count=36, rule=rule)
        total = (real(x, x_q) ** 2).sum(axis=(1, 2))
        unit = 2.0**-operator.spread * float(x.scale) ** (1 if root else 2) / float(y.scale)
        yield operator, (x_q,), np.sqrt(total) if root else total, y, unit


@case
def requantize(rng: np.random.Generator) -> Iterator[Case]:
    for (rule, type), out, ratio in itertools.product(
        RULES_AND_TYPES, (INT8, UINT8, INT16, IntType(4)), (0.01, 0.5, 1.0, 3.0, 200.0)
    ):
        if rule is Rule.SHIFT:
            ratio = 2.0 ** round(math.log2(ratio))
        x, y = params(rng, type, rule), params(rng, out, rule, 0.05 * ratio)
        x_q = codes(rng, type, (2, 300))
        yield Requantize.from_real(x, y, rule=rule), (x_q,), real(x, x_q), y, 0


@case
def clamp(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 50))
    yield Clamp(-20, 33), (x_q,), np.clip(real(x, x_q), *real(x, np.array([-20, 33]))), x, 0


@case
def clamp_channels(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 50, 3))
    lower, upper = np.array([[-20, -128, 5], [33, 0, 5]], np.int32)
    yield ClampChannels(lower, upper), (x_q,), np.clip(real(x, x_q), real(x, lower), real(x, upper)), x, 0


CURVED = {  # name: function, largest second derivative, largest result
    "sigmoid": (lambda v: 1 / (1 + np.exp(-v)), 0.0963, 1.0),
    "tanh": (np.tanh, 0.77, 1.0),
    "gelu": (lambda v: v * (1 + np.vectorize(math.erf)(v / math.sqrt(2))) / 2, 0.798, 40.0),
    "two": (lambda v: np.stack([np.tanh(v), -np.sin(v)]), 1.0, 1.0),
}


@case
def lut(rng: np.random.Generator) -> Iterator[Case]:
    """8 bits: the table is the rounded function.

    16: h**2 / 16 max|f''| / s_y and a tenth, by which f'' changes over these intervals; and for the knots a step, or
    2**-7 of one where they have 7 bits behind the point.
    """
    types = (INT8, UINT8, IntType(4), INT16, UINT16, IntType(12))
    for (function, curvature, largest), type, span in itertools.product(CURVED.values(), types, (8.0, 40.0)):
        x = params(rng, type, scale=span / (1 << type.bits))
        n = 1 << min(type.bits, 12)
        x_q = np.concatenate([[type.qmin, type.qmax], np.sort(rng.integers(type.qmin, type.qmax + 1, n - 2))])
        x_q = np.stack([x_q, x_q[::-1]], axis=-1).astype(type.dtype)[None]
        channels = [function(real(x, x_q[..., c])) for c in (0, 1)]
        if channels[0].ndim == 3:
            channels = [channel[c] for c, channel in enumerate(channels)]
        for out in (INT8, INT16):
            y = grid(out, 2.1 * largest / (1 << out.bits))
            slack = 0.0
            if type.bits > 8:
                h = float(x.scale) * 2.0 ** (type.bits - 9)
                slack = 1.1 * h * h / 16 * curvature / float(y.scale) + (2.0**-7 if out.bits == 8 else 1.0)
            yield Lut.from_real(x, y, function), (x_q,), np.stack(channels, axis=-1), y, slack


BENT = {  # from codes of 8/65536 to steps of a size with which the largest results saturate
    "saturates": (lambda v: 3 * v, 1.0),
    "logarithm": (lambda v: np.log(np.abs(v) + 1e-9), 9.0),
    "reciprocal": (lambda v: 1 / (v + 1e-9), 20.0),
    "jumps": (lambda v: np.floor(5 * v), 20.0),
    "oscillates": (lambda v: np.sin(700 * v), 1.0),
}


@pytest.mark.parametrize("function", BENT)
@pytest.mark.parametrize("type", [INT16, UINT16, IntType(12)])
def test_a_table_is_exact_where_its_function_bends(function: str, type: IntType) -> None:
    """Within half a step for each rounding and for what a chord misses; at most one knot for each code."""
    exactly, largest = BENT[function]
    x, every = grid(type, 8.0 / (1 << type.bits)), np.arange(type.qmin, type.qmax + 1).astype(type.dtype)
    for out, bound in ((INT16, 1.5), (INT8, 0.625)):
        y = grid(out, 2 * largest / (1 << out.bits))
        operator = Lut.from_real(x, y, exactly)
        exact = np.clip(exactly(real(x, every)) / float(y.scale), out.qmin, out.qmax)
        assert np.abs(operator.integer(every) - exact).max() <= bound
        assert 513 <= operator.table.size <= (1 << type.bits) + 1


@case
def prelu(rng: np.random.Generator) -> Iterator[Case]:
    for (rule, type), slope in itertools.product(
        RULES_AND_TYPES, (0.25, np.array([0.5, 0.0, -2.0]), np.array([0.3, -0.1, 1.0]))
    ):
        x, y = params(rng, type, rule), params(rng, type, rule)
        x_q = codes(rng, type, (2, 60, 3))
        v = real(x, x_q)
        yield PRelu.from_real(x, y, slope, rule=rule), (x_q,), np.where(v >= 0, v, v * slope), y, 0


@case
def max_pool2d(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 5, 6, 3))
    padded = np.pad(real(x, x_q), ((0, 0), (1, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(1, 2))[:, ::2, ::1]
    yield MaxPool2d((3, 2), (2, 1), (1, 1), (1, 0, 1, 1), -128, 127), (x_q,), windows.max(axis=(-2, -1)), x, 0


@case
def average_pool2d(rng: np.random.Generator) -> Iterator[Case]:
    geometry = [((2, 2), (2, 2), (0, 0, 0, 0)), ((3, 3), (1, 1), (1, 1, 1, 1)), ((3, 2), (2, 1), (1, 0, 2, 1))]
    for (rule, type), (k, s, pads), include, same in itertools.product(
        RULES_AND_TYPES, geometry, (False, True), (False, True)
    ):
        x = params(rng, type, rule)
        y = x if same else params(rng, type, rule)
        x_q = codes(rng, type, (2, 6, 7, 3))
        pad = ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0))
        inside = np.pad(np.ones_like(x_q, float), pad, constant_values=float(include))
        both = [
            np.lib.stride_tricks.sliding_window_view(v, k, axis=(1, 2))[:, :: s[0], :: s[1]].sum(axis=(-2, -1))
            for v in (np.pad(real(x, x_q), pad), inside)
        ]
        operator = AveragePool2d.from_real(
            x, y, input_shape=(6, 7), kernel=k, strides=s, pads=pads, count_include_pad=include, rule=rule
        )
        assert (operator.requantize is None) == (same and rule is Rule.TFLITE)
        yield operator, (x_q,), both[0] / both[1], y, 0


@case
def reduce_sum(rng: np.random.Generator) -> Iterator[Case]:
    for (rule, type), (axes, mean) in itertools.product(
        RULES_AND_TYPES, [((1, 2), True), ((2,), False), ((1, 3), True)]
    ):
        count = math.prod((2, 7, 5, 3)[a] for a in axes)
        x, y = params(rng, type, rule), params(rng, type, rule, 0.05 if mean else 0.05 * count)
        x_q = codes(rng, type, (2, 7, 5, 3))
        operator = ReduceSum.from_real(
            x, y, axes=axes, keepdims=not mean, factor=1 / count if mean else 1.0, count=count, rule=rule
        )
        v = real(x, x_q)
        yield operator, (x_q,), v.mean(axis=axes) if mean else v.sum(axis=axes, keepdims=True), y, 0


@case
def reduce_max(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, UINT8)
    x_q = codes(rng, UINT8, (2, 7, 5, 3))
    yield ReduceMax((1, 2), True), (x_q,), real(x, x_q).max(axis=(1, 2), keepdims=True), x, 0
    yield ReduceMax((3,), False, minimum=True), (x_q,), real(x, x_q).min(axis=3), x, 0


@case
def concat(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    parts = tuple(codes(rng, INT8, (2, n, 3)) for n in (1, 4, 2))
    yield Concat(1), parts, np.concatenate([real(x, p) for p in parts], axis=1), x, 0


@case
def slice(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 6, 5))
    yield Slice((1, 2), (4, 1), (-1, 5), (-2, 3)), (x_q,), real(x, x_q)[:, 4::-2, 1:5:3], x, 0


@case
def reshape(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 6, 5))
    yield Reshape((-1, 3, 10)), (x_q,), real(x, x_q).reshape(2, 3, 10), x, 0


@case
def transpose(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 6, 5))
    yield Transpose((2, 0, 1)), (x_q,), np.moveaxis(real(x, x_q), 2, 0), x, 0


@case
def pad(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 6, 5))
    want = np.pad(real(x, x_q), ((0, 0), (2, 0), (0, 3)))[:, :-1, 1:]
    yield Pad((0, 2, -1), (0, -1, 3), int(x.zero_point)), (x_q,), want, x, 0


@case
def gather(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 6, 5))
    yield Gather(np.array([5, 0, 0, 3]), 1), (x_q,), real(x, x_q)[:, [5, 0, 0, 3]], x, 0


@case
def embedding_lookup(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    table, ids = codes(rng, INT8, (7, 5)), np.array([[0, 6, -1], [-7, 3, 3]], np.int32)
    yield EmbeddingLookup(), (table, ids), real(x, table)[ids], x, 0


@case
def gather_elements(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q, ids = codes(rng, INT8, (2, 7)), np.array([[0, 6, -1], [-7, 3, 3]], np.int32)
    yield GatherElements(1), (x_q, ids), np.take_along_axis(real(x, x_q), ids.astype(np.int64), 1), x, 0


@case
def integer_arithmetic(rng: np.random.Generator) -> Iterator[Case]:
    """Integers stand for themselves: a grid of scale 1, on which only 32 bits end."""
    whole = QuantParams(INT32, np.ones((), np.float32))
    a, b = (rng.integers(-(1 << 15), 1 << 15, (4, 6)).astype(np.int32) for _ in range(2))
    for function, numpy in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("min", np.minimum)):
        yield IntegerArithmetic(function), (a, b), numpy(a.astype(float), b.astype(float)), whole, 0
    low, high = np.full((1,), INT32.qmin, np.int32), np.full((1,), INT32.qmax, np.int32)
    yield IntegerArithmetic("mul"), (low, high), np.full((1,), float(INT32.qmin)), whole, 0
    yield IntegerArithmetic("sub"), (high, low), np.full((1,), float(INT32.qmax)), whole, 0
    yield IntegerArithmetic("max"), (a, b), np.maximum(a.astype(float), b.astype(float)), whole, 0


@case
def integer_cumsum(rng: np.random.Generator) -> Iterator[Case]:
    whole = QuantParams(INT32, np.ones((), np.float32))
    x = rng.integers(-9, 9, (3, 6)).astype(np.int32)
    yield IntegerCumSum(1), (x,), np.cumsum(x, 1).astype(float), whole, 0
    backwards = [[sum(row[j + 1 :]) for j in range(6)] for row in x.tolist()]
    yield IntegerCumSum(1, exclusive=True, reverse=True), (x,), np.array(backwards, float), whole, 0


@case
def relation(rng: np.random.Generator) -> Iterator[Case]:
    """No rounding: numbers on grids within a factor of 32 are compared exactly."""
    for a, b in ((grid(INT8, 0.1, 3), grid(INT16, 0.00625)), (grid(UINT8, 0.05, 128), grid(UINT8, 0.3, 7))):
        a_q, b_q = codes(rng, a.type, (2, 50)), codes(rng, b.type, (2, 50))
        left, right = ((q.astype(np.int64) - int(p.zero_point)) * float(p.scale) for q, p in ((a_q, a), (b_q, b)))
        for below, equal, above, holds in (
            (True, False, False, left < right), (False, True, True, left >= right), (True, False, True, left != right)
        ):  # fmt: skip
            operator = Relation.from_real(a, b, below=below, equal=equal, above=above)
            yield operator, (a_q, b_q), holds.astype(np.float64), None, 0


@case
def select(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    a, b, condition = codes(rng, INT8, (2, 6)), codes(rng, INT8, (1, 6)), codes(rng, BOOLEAN, (2, 6))
    yield Select(), (condition, a, b), np.where(condition == 1, real(x, a), real(x, b)), x, 0


@case
def dynamic_masked_softmax(rng: np.random.Generator) -> Iterator[Case]:
    """The tables are good to 2**-30 of the largest; the sum and the quotient round once."""
    for type in (INT8, INT16):
        x, y = params(rng, type, scale=0.1 * 256 / (1 << type.bits)), grid(UINT8, 1 / 256)
        x_q, keep = codes(rng, type, (2, 3, 9)), codes(rng, BOOLEAN, (2, 1, 9))
        keep[..., 0] = 1
        e = np.where(keep == 1, np.exp(real(x, x_q) - real(x, x_q).max()), 0)
        yield DynamicMaskedSoftmax.from_softmax(x, y), (x_q, keep), e / e.sum(-1, keepdims=True), y, 0.01


@case
def resize_bilinear(rng: np.random.Generator) -> Iterator[Case]:
    """Weights are exact to 2**-12 in each direction; then one rounding."""
    for type, (height, width) in itertools.product((INT8, UINT8, INT16), ((9, 8), (3, 2), (5, 6))):
        x = params(rng, type)
        x_q = codes(rng, type, (2, 5, 6, 2))
        rows, columns = np.linspace(0, 4, height), np.sort(rng.uniform(-0.5, 5.5, width))
        v = real(x, x_q)

        def along(v: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
            at = np.clip(at, 0, v.shape[axis] - 1)
            low = np.minimum(np.floor(at).astype(int), v.shape[axis] - 2)
            part = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
            return v.take(low, axis) * (1 - part) + v.take(low + 1, axis) * part

        want = along(along(v, rows, 1), columns, 2)
        operator = ResizeBilinear.from_positions(rows, columns, height=5, width=6)
        yield operator, (x_q,), want, x, 2 * 2.0**-12 * (type.qmax - type.qmin)


@case
def depth_to_space(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 3, 2, 12))
    first = real(x, x_q).transpose(0, 3, 1, 2)  # ONNX's own definition, channels first
    dcr = first.reshape(2, 2, 2, 3, 3, 2).transpose(0, 3, 4, 1, 5, 2).reshape(2, 3, 6, 4)
    crd = first.reshape(2, 3, 2, 2, 3, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 3, 6, 4)
    yield DepthToSpace(2), (x_q,), dcr.transpose(0, 2, 3, 1), x, 0
    yield DepthToSpace(2, crd=True), (x_q,), crd.transpose(0, 2, 3, 1), x, 0


@case
def space_to_depth(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 4, 6, 3))
    first = real(x, x_q).transpose(0, 3, 1, 2)
    want = first.reshape(2, 3, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 12, 2, 3)
    yield SpaceToDepth(2), (x_q,), want.transpose(0, 2, 3, 1), x, 0


@case
def expand(rng: np.random.Generator) -> Iterator[Case]:
    x = params(rng, INT8)
    x_q = codes(rng, INT8, (2, 1, 5))
    yield Expand((-1, 4, 5)), (x_q,), np.broadcast_to(real(x, x_q), (2, 4, 5)), x, 0


def softmax_of(v: np.ndarray) -> np.ndarray:
    e = np.exp(v - v.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


@case
def softmax(rng: np.random.Generator) -> Iterator[Case]:
    for type, n, spread in itertools.product((INT8, UINT8, INT16, UINT16), (1, 7, 1000), (4.0, 40.0, 2000.0)):
        x = params(rng, type, scale=spread / (1 << type.bits))
        x_q = codes(rng, type, (3, n))
        for y in (grid(UINT8, 1 / 256), grid(INT16, 1 / 32768), grid(INT8, 1 / 256, -128)):
            yield Softmax.from_real(x, y), (x_q,), softmax_of(real(x, x_q)), y, 0


@case
def masked_softmax(rng: np.random.Generator) -> Iterator[Case]:
    """As softmax over the positions that are kept; where none is, all elements are 1 / N."""
    keep = np.tril(np.ones((6, 6), bool))
    keep[3] = False
    for type, y in itertools.product((UINT8, INT8, INT16), (grid(UINT8, 1 / 256), grid(INT16, 1 / 32768))):
        x = params(rng, type, scale=0.05 if type.bits == 8 else 0.0005)
        x_q = codes(rng, type, (4, 6, 6))
        kept = np.where(keep, real(x, x_q), -np.inf)
        kept[:, 3] = 0.0
        yield MaskedSoftmax.from_mask(x, y, keep), (x_q,), softmax_of(kept), y, 0


@case
def softmax_tflite(rng: np.random.Generator) -> Iterator[Case]:
    """exp is exact to 3e-7 and its reciprocal to 2e-8, 1/256 is 4e-3: one step, and a tie."""
    for type, n, spread in itertools.product((INT8, UINT8), (1, 7, 1000), (1.0, 4.0, 40.0, 1000.0)):
        x, y = params(rng, type, scale=spread / 256), grid(type, 1 / 256, type.qmin)
        x_q = codes(rng, type, (3, n))
        yield SoftmaxTflite.from_real(x, y), (x_q,), softmax_of(real(x, x_q)), y, 0


@case
def log_softmax(rng: np.random.Generator) -> Iterator[Case]:
    """Units of Q(F): difference 1/2, interpolation 2, its rounding and the table's 1, log 2 1/2 for each doubling."""
    for (rule, type), n, spread in itertools.product(RULES_AND_TYPES, (1, 7, 1000), (4.0, 40.0, 400.0)):
        x = params(rng, type, rule, spread / (1 << type.bits))
        x_q = codes(rng, type, (3, n))
        v = real(x, x_q) - real(x, x_q).max(axis=-1, keepdims=True)
        want = v - np.log(np.exp(v).sum(axis=-1, keepdims=True))
        for y in (grid(INT8, 1 / 16, 127), grid(INT16, 2.0**-11)):
            operator = LogSoftmax.from_real(x, y, rule=rule)
            units = 3.5 + 0.5 * n.bit_length()
            yield operator, (x_q,), want, y, units * math.log(2.0) / operator.log_two / float(y.scale)


@case
def argmax(rng: np.random.Generator) -> Iterator[Case]:
    x_q = codes(rng, INT8, (2, 9, 5))
    x_q[0, 3] = x_q[0, 7] = 127
    yield ArgMax(1), (x_q,), x_q.astype(float).argmax(axis=1), None, 0
    yield ArgMax(1, minimum=True), (x_q,), x_q.astype(float).argmin(axis=1), None, 0
    yield ArgMax(2, keepdims=True, last=True), (x_q,), 4 - x_q[..., ::-1].argmax(axis=2, keepdims=True), None, 0


@case
def layer_norm(rng: np.random.Generator) -> Iterator[Case]:
    """Gains are 16-bit and normalized values Q10 or finer, which a step of 8 bits does not see; 16-bit: see below."""
    for (rule, type), n, epsilon in itertools.product(RULES_AND_TYPES, (2, 16, 256), (1e-5, 1e-2)):
        x, y = params(rng, type, rule, 6.0 / (1 << type.bits)), params(rng, type, rule, 10.0 / (1 << type.bits))
        gain, bias = rng.uniform(-1, 1.5, n), rng.uniform(-1, 1, n)
        x_q = codes(rng, type, (2, 5, n))
        x_q[0, 0] = type.qmax
        v = real(x, x_q)
        want = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + epsilon) * gain + bias
        operator = LayerNorm.from_real(x, y, gain, bias, epsilon=epsilon, rule=rule)
        # Error of N (half a unit of Q(p)) times the gain, of the gain (2**-16 of the largest) times N, of the bias, of
        # epsilon (rounded to a unit of V, at least 1): all in output steps. Then one rounding.
        unit = 2.0**-operator.precision / float(y.scale)
        error = 0.5 * unit * 1.5 + 2.0**-15.9 * 1.5 * math.sqrt(n) / float(y.scale) + 0.5 * unit * 2.0**-14
        assert type is INT16 or error < 0.2
        yield operator, (x_q,), want, y, error


def recurrent_samples(
    rng: np.random.Generator, gates: int
) -> Iterator[tuple[Rule, IntType, tuple[QuantParams, ...], tuple[np.ndarray, ...], np.ndarray, np.ndarray]]:
    """One step from given states: parameters of data, weights and hidden state; codes; weights and biases."""
    for (rule, type), h in itertools.product(RULES_AND_TYPES, (4, 24)):
        x, hidden = params(rng, INT16, rule, 1e-4), params(rng, type, rule, 1.8 / (1 << type.bits))
        w = grid(INT8, 2.0**-8)
        weight, bias = codes(rng, INT8, (gates * h, h)), rng.uniform(-1, 1, gates * h)
        given = codes(rng, INT16, (2, 1, gates * h)), codes(rng, type, (2, h)), codes(rng, INT16, (2, h))
        yield rule, type, (x, w, hidden), given, weight, bias


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


# A sum is off by half a step of 2**-11 and half a step of 2**-14 for each of three terms: 3.4e-4. So g is off by
# 4.2e-4, with its table; i, o, f, z, r by 1.3e-4; a state of up to 2 by 1e-3, with its rounding; the hidden state by
# 1.2e-3.
RECURRENT_ERROR = 1.2e-3


@case
def lstm(rng: np.random.Generator) -> Iterator[Case]:
    for rule, _, (x, w, hidden), (x_q, h_q, c_q), weight, bias in recurrent_samples(rng, 4):
        operator = Lstm.from_real(x, w, hidden, grid(INT16, 2.0**-14), weight, bias, rule)
        total = real(x, x_q)[:, 0] + real(hidden, h_q) @ (weight * 2.0**-8).T + bias
        i, o, f, g = np.split(total, 4, -1)
        cell = np.clip(sigmoid(f) * (c_q * 2.0**-14) + sigmoid(i) * np.tanh(g), -2, 2)
        want = (sigmoid(o) * np.tanh(cell))[:, None]
        yield operator, (x_q, h_q, c_q), want, hidden, RECURRENT_ERROR / float(hidden.scale)


@case
def gru(rng: np.random.Generator) -> Iterator[Case]:
    for rule, _, (x, w, hidden), (x_q, _, s_q), weight, bias in recurrent_samples(rng, 3):
        h = weight.shape[1]
        bias = np.concatenate([bias, bias[:h]])
        operator = Gru.from_real(x, w, hidden, grid(INT16, 2.0**-15), weight, bias, rule, linear_before_reset=True)
        state = s_q * 2.0**-15
        product = real(hidden, operator.to_codes(s_q.astype(np.int64))) @ (weight * 2.0**-8).T
        total = real(x, x_q)[:, 0] + bias[: 3 * h]
        z, r = (sigmoid(v) for v in np.split((total + product)[:, : 2 * h], 2, -1))
        g = np.tanh(total[:, 2 * h :] + r * (product[:, 2 * h :] + bias[3 * h :]))
        # The reset product is off by the error of r times itself, too, which is up to 8.
        yield (
            operator,
            (x_q, s_q),
            (z * state + (1 - z) * g)[:, None],
            hidden,
            2.5 * RECURRENT_ERROR / float(hidden.scale),
        )


@case
def rnn(rng: np.random.Generator) -> Iterator[Case]:
    for rule, _, (x, w, hidden), (x_q, h_q, _), weight, bias in recurrent_samples(rng, 1):
        total = (real(x, x_q)[:, 0] + real(hidden, h_q) @ (weight * 2.0**-8).T + bias)[:, None]
        operator = Rnn.from_real(x, w, hidden, weight, bias, rule, rectifier=False)
        yield operator, (x_q, h_q), np.tanh(total), hidden, RECURRENT_ERROR / float(hidden.scale)


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_integer_matches_the_quantized_real_result(kind: str, rng: np.random.Generator) -> None:
    for operator, inputs, want, y, slack in CASES[kind](rng):
        assert operator.kind == kind
        single_operator_program(operator, inputs).verify()
        got = operator.integer(*inputs)
        assert got.shape == want.shape
        if y is None:
            assert np.array_equal(got, want)
        else:
            assert_rounded(got, steps_of(y, want, operator), slack + rounding_slack(operator, y), f"{operator}"[:300])


def test_every_operator_has_a_real_formula() -> None:
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize(
    "kind",
    sorted(set(OPERATORS) - {"argmax", "clamp", "clamp_channels", "concat", "reshape", "expand", "relation", "select"}),
)
def test_the_comparison_would_notice_a_nudge(kind: str, rng: np.random.Generator) -> None:
    """Inputs moved by an eighth of their range change the result by more than the steps that are allowed."""
    noticed = False
    for operator, inputs, want, y, slack in CASES[kind](rng):
        assert y is not None
        moved = inputs[0].copy()
        reach = int(inputs[0].max()) - int(inputs[0].min())
        flat = moved.reshape(-1)
        flat[::2] = np.where(flat[::2] > flat.mean(), flat[::2] - reach // 8, flat[::2] + reach // 8)
        try:
            got = operator.integer(moved, *inputs[1:])
            assert_rounded(got, steps_of(y, want, operator), slack + rounding_slack(operator, y), kind)
        except AssertionError:
            noticed = True
    assert noticed
