"""Samples around the boundaries of vectors: channels of 2^k * {1, 2, 3} and one more or less, widths of 1 to 20."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from intaglio import number
from intaglio.number import INT8, INT16, UINT8, IntType, Rule
from intaglio.program import Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.gru import Gru
from intaglio.program.operators.lstm import Lstm
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.rnn import Rnn
from intaglio.program.sampling import UINT16, codes, grid, params

Sample = tuple[Operator, tuple[np.ndarray, ...]]
Product = TypeVar("Product", Conv2d, Dense)
CHANNELS = sorted({(m << k) + d for k in range(7) for m in (1, 2, 3) for d in (-1, 0, 1)} & set(range(1, 131)))
WIDTHS = range(1, 21)
# rule, type of x, type of y, type of the weights, zero point of the weights; WIDE: with wide accumulators
KINDS = (
    (Rule.HALF_UP, UINT8, UINT8, INT8, 0),
    (Rule.HALF_UP, UINT8, UINT8, UINT8, 131),
    (Rule.TFLITE, INT8, INT8, INT8, 0),
    (Rule.HALF_UP, INT8, INT16, INT8, 0),
    (Rule.SHIFT, INT8, INT8, INT8, 0),
    (Rule.TFLITE, UINT8, INT8, INT8, -5),
    (Rule.SHIFT, UINT8, INT8, IntType(4), 0),
    (Rule.HALF_UP, INT16, INT16, INT8, 0),
    (Rule.HALF_UP, INT16, INT8, INT8, 0),
    (Rule.SHIFT, INT16, INT16, INT8, 0),
    (Rule.HALF_UP, UINT8, INT16, UINT16, 40000),
    (Rule.HALF_UP, INT8, INT8, INT16, 0),
    (Rule.HALF_EVEN, UINT8, UINT8, INT8, 0),
    (Rule.HALF_EVEN, INT8, INT16, INT8, 0),
    (Rule.HALF_EVEN, INT16, INT8, INT8, 0),
)
WIDE = (8, 9, 10, 11)


def boundary_samples(kind: str, rng: np.random.Generator) -> Iterator[Sample]:
    """More samples of the operators that have vector kernels."""
    if kind == "conv2d":
        yield from _convolutions(rng)
        yield from _depthwise(rng)
        yield from _deep(rng)
    elif kind == "dense":
        yield from _dense(rng)
        for operator, (x,) in _deep(rng):
            if operator.weight.shape[1:3] == (1, 1):
                yield _as_dense(operator), (x[0, 0],)
    elif kind == "add":
        yield from _sums(rng)
    elif kind == "mul":
        yield from _products(rng)
    elif kind in ("lut", "requantize"):
        yield from _functions(rng, kind)
    elif kind == "max_pool2d":
        yield from _max_pools(rng)
    elif kind in ("average_pool2d", "reduce_sum"):
        yield from _averages(rng, kind)
    elif kind in LAYERS:
        yield from _layers(rng, kind)


LAYERS = ("gru", "lstm", "rnn")
# rule, type of the hidden state, type of the weights, their zero point, scale of the weights
LOOPS = (
    (Rule.HALF_UP, UINT8, INT8, 0, 0.01),
    (Rule.HALF_UP, INT8, INT8, 0, 0.003),
    (Rule.TFLITE, INT8, INT8, 0, 0.02),
    (Rule.HALF_UP, UINT8, UINT8, 131, 0.01),
    (Rule.SHIFT, INT8, INT8, 0, 2.0**-6),
    (Rule.HALF_UP, INT16, INT8, 0, 0.01),
    (Rule.HALF_EVEN, UINT8, INT8, 0, 2.0**-6),
    (Rule.HALF_UP, IntType(4), IntType(4), 0, 0.1),
)


def _layers(rng: np.random.Generator, kind: str) -> Iterator[Sample]:
    """Layers that loop over time: the product with the data in int16, as in every lowered network."""
    units = [n for n in CHANNELS if n <= 66]
    for at, size in enumerate(units):
        rule, hidden_type, w_type, zero_point, scale = LOOPS[at % len(LOOPS)]
        powers = rule in (Rule.SHIFT, Rule.HALF_EVEN)
        rows = {"lstm": 4, "gru": 3, "rnn": 1}[kind] * size
        n, steps = (2, 3) if at % 5 == 0 else (1, int(rng.integers(2, 5)))
        x = grid(INT16, 2.0 ** -int(rng.integers(8, 16)) if powers else rng.uniform(0.00002, 0.001))
        w = grid(w_type, scale if powers else scale * rng.uniform(0.5, 1.5, rows), zero_point)
        hidden = params(rng, hidden_type, rule, 1.8 / (1 << hidden_type.bits), symmetric=hidden_type is INT16)
        weight = _filled(rng, w_type, (rows, size))
        given = at % 3 == 0
        options: dict[str, Any] = {"reverse": at % 4 == 1, "clip": 2.5 if at % 7 == 2 else None}
        state = grid(INT16, 2.0 ** -int(rng.integers(8, 18)))
        made: Operator
        initial: tuple[np.ndarray, ...]
        if kind == "lstm":
            options |= {"states": at % 2 == 0}
            made = Lstm.from_real(x, w, hidden, state, weight, rng.uniform(-1, 1, rows), rule, **options)
            initial = (codes(rng, hidden_type, (n, size)), codes(rng, INT16, (n, size)))
        elif kind == "gru":
            linear = bool(rng.integers(2))
            options |= {"states": at % 2 == 0, "linear_before_reset": linear}
            bias = rng.uniform(-1, 1, rows + size * linear)
            made = Gru.from_real(x, w, hidden, state, weight, bias, rule, **options)
            initial = (codes(rng, INT16, (n, size)),)
        else:
            positive = hidden_type.qmax - int(hidden.zero_point) > hidden_type.qmax // 4
            options |= {"rectifier": at % 3 == 1 and positive}
            made = Rnn.from_real(x, w, hidden, weight, rng.uniform(-1, 1, rows), rule, **options)
            initial = (codes(rng, hidden_type, (n, size)),)
        yield made, (_filled(rng, INT16, (n, steps, rows)), *(initial if given else ()))


def _filled(rng: np.random.Generator, type: IntType, shape: tuple[int, ...]) -> np.ndarray:
    """Random codes, or only extreme ones, or the same extreme one everywhere: the largest accumulators."""
    how = rng.choice(["any", "any", "ends", "low", "high"])
    if how in ("low", "high"):
        return np.full(shape, type.qmin if how == "low" else type.qmax, type.dtype)
    return codes(rng, type, shape, extreme=how == "ends")


def _weighted(rng: np.random.Generator, at: int, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of the factories of operators with weights of this shape."""
    rule, x_type, y_type, w_type, zero_point = KINDS[at % len(KINDS)]
    outputs, depth = shape[0], max(1, int(np.prod(shape[1:])))
    powers = rule in (Rule.SHIFT, Rule.HALF_EVEN)
    per_channel = not powers and rng.random() < 0.5
    scale = 2.0**-6 if powers else rng.uniform(0.01, 0.03, outputs if per_channel else None)
    w = grid(w_type, scale * 2.0 ** (8 - max(w_type.bits, 8)), zero_point)
    x = params(rng, x_type, rule, 0.05, symmetric=x_type is INT16)
    reach = 0.05 * x_type.qmax * 0.02 * min(w_type.qmax, 127) * depth**0.5 / y_type.qmax
    y = params(rng, y_type, rule, max(reach, 1e-4), symmetric=y_type is INT16)
    limits = {"low": int(y.zero_point)} if rng.random() < 0.5 else {"high": y_type.qmax - 3}
    # 255 * 32768 * 200 < 2**31: weights of 16 bits fit 32-bit accumulators where the depth is small
    wide = at % len(KINDS) in WIDE and (x_type is INT16 or depth > 200)
    return (x, w, y, _filled(rng, w_type, shape), rng.uniform(-1, 1, outputs), rule), {**limits, "wide": wide}


def _made(operator: type[Product], *arguments: Any, wide: bool, **options: Any) -> Product:
    """The operator of `from_real`, with wide accumulators where asked for, which its sums may not need."""
    made = operator.from_real(*arguments, **options, accumulator=64 if wide else None)
    if not wide:
        return made
    factor = number.Requantize.from_real(made.requantize.real, made.requantize.rule, wide=True)
    return dataclasses.replace(made, requantize=factor)


def _input(rng: np.random.Generator, at: int, shape: tuple[int, ...]) -> tuple[np.ndarray]:
    return (_filled(rng, KINDS[at % len(KINDS)][1], shape),)


def _convolutions(rng: np.random.Generator) -> Iterator[Sample]:
    for at, channels in enumerate([*CHANNELS, *CHANNELS]):
        outputs = int(rng.choice(CHANNELS))
        size = int(rng.choice([1, 1, 2, 3])) if channels * outputs < 4000 else 1
        height, width = int(rng.integers(size, size + 4)), max(size, int(rng.choice(WIDTHS)))
        arguments, options = _weighted(rng, at, (outputs, size, size, channels))
        pads = tuple(int(p) for p in rng.integers(0, size, 4))
        strides = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        operator = _made(Conv2d, *arguments, **options, strides=strides, pads=pads)
        yield operator, _input(rng, at, (1, height, width, channels))


def _depthwise(rng: np.random.Generator) -> Iterator[Sample]:
    for at, channels in enumerate([*CHANNELS, *CHANNELS]):
        size, stride = int(rng.choice([3, 3, 5])), int(rng.choice([1, 1, 2]))
        height, width = int(rng.integers(size, size + 5)), max(size - 1, int(rng.choice(WIDTHS)))
        arguments, options = _weighted(rng, at, (channels, size, size, 1))
        pads = (size // 2,) * 4
        operator = _made(Conv2d, *arguments, **options, strides=(stride, stride), pads=pads, groups=channels)
        yield operator, _input(rng, at, (1, height, width, channels))


def _deep(rng: np.random.Generator) -> Iterator[tuple[Conv2d, tuple[np.ndarray]]]:
    """Wide accumulators: sums that 32 bits do not hold, by a little or many times over; and sums that they do."""
    for at, (size, channels) in enumerate([(1, 513), (1, 1100), (1, 2049), (3, 40), (3, 90), (3, 333), (5, 21)] * 2):
        y_type, rule = (INT16, INT8)[at % 2], (Rule.HALF_UP, Rule.SHIFT)[at % 3 == 0]
        outputs = int(rng.choice([1, 15, 16, 17, 33]))
        x, w, y = (grid(t, 2.0**e) for t, e in ((INT16, -11), (INT8, -7), (y_type, -4 if y_type is INT16 else 3)))
        weight = _filled(rng, INT8, (outputs, size, size, channels))
        if rule is Rule.HALF_UP:
            w = grid(INT8, rng.uniform(0.005, 0.01, outputs))
        arguments = (x, w, y, weight, rng.uniform(-1, 1, outputs), rule)
        operator = _made(Conv2d, *arguments, pads=(size // 2,) * 4, wide=True)
        yield operator, (_filled(rng, INT16, (1, 1 if size == 1 else 3, int(rng.integers(1, 6)), channels)),)


def _as_dense(op: Conv2d) -> Dense:
    names = ("weight_zero_point", "bias", "x_zero_point", "y_zero_point", "requantize", "low", "high", "out")
    return Dense(weight=op.weight[:, 0, 0], **{name: getattr(op, name) for name in names})


def _dense(rng: np.random.Generator) -> Iterator[Sample]:
    for at, depth in enumerate([*CHANNELS, 255, 257, 640]):
        arguments, options = _weighted(rng, at, (int(rng.choice(CHANNELS)), depth))
        yield _made(Dense, *arguments, **options), _input(rng, at, (int(rng.choice([1, 1, 2, 5])), depth))


def _sums(rng: np.random.Generator) -> Iterator[Sample]:
    for at, size in enumerate([*CHANNELS, 255, 256, 257, 1000, 1023]):
        rule, a_type, y_type, _, _ = KINDS[at % len(KINDS)]
        b_type = a_type if at % 4 else y_type
        a = params(rng, a_type, rule, symmetric=a_type is INT16)
        b = params(rng, b_type, rule, symmetric=b_type is INT16, scale=0.05 * 2.0 ** rng.integers(-3, 4))
        y = params(rng, y_type, rule, 0.1 * a_type.qmax / y_type.qmax, symmetric=y_type is INT16)
        operator = Add.from_real(a, b, y, rule=rule, subtract=at % 7 == 0)
        yield operator, (_filled(rng, a_type, (1, size)), _filled(rng, b_type, (1, size)))


def _products(rng: np.random.Generator) -> Iterator[Sample]:
    """Equal shapes, and a pixel of factors on either side, as squeeze and excite has it."""
    for at, channels in enumerate(CHANNELS):
        rule = tuple(Rule)[at % len(Rule)]
        a_type, b_type, y_type = ((UINT8, INT8, UINT8, UINT8, INT8)[(at + k) % 5] for k in range(3))
        a, b = params(rng, a_type, rule, 0.02), params(rng, b_type, rule, 0.004 if at % 4 else 1.0)
        y = params(rng, y_type, rule, 0.02)
        operator = Mul.from_real(a, b, y, rule=rule, high=y_type.qmax - 3 if at % 2 else None)
        image, pixel = (1, 2, int(rng.choice(WIDTHS)), channels), (1, 1, 1, channels)
        shapes = ((image, image), (image, pixel), (pixel, image), (image, (channels,)))[at % 4]
        yield operator, (_filled(rng, a_type, shapes[0]), _filled(rng, b_type, shapes[1]))


def _functions(rng: np.random.Generator, kind: str) -> Iterator[Sample]:
    """Every code in every place of a vector."""
    for at, size in enumerate([*CHANNELS, 255, 256, 257, 1000]):
        x_type, y_type = (UINT8, INT8)[at % 2], (UINT8, UINT8, INT8, INT8)[at % 4]
        rule = tuple(Rule)[at % 3]
        x, y = params(rng, x_type, rule), params(rng, y_type, rule, 0.05)
        data = ((np.arange(3 * size) * 37 + at) % 256).astype(np.uint8).view(x_type.dtype).reshape(1, 3, 1, size)
        if kind == "requantize":
            yield Requantize.from_real(x, y, rule=rule), (data,)
        else:
            table = codes(rng, y_type, (256,))
            yield Lut(table, x_type, y_type), (data,)


def _window(rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int], tuple[int, ...], tuple[int, int]]:
    """Kernel, strides, pads, and an image that they fit."""
    kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    strides = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    pads = tuple(int(rng.integers(0, k)) for k in (*kernel, *kernel))
    image = (kernel[0] + int(rng.integers(0, 6)), max(kernel[1], int(rng.choice(WIDTHS))))
    return kernel, strides, pads, image


def _max_pools(rng: np.random.Generator) -> Iterator[Sample]:
    for at, channels in enumerate(CHANNELS):
        type = (UINT8, INT8, INT16, UINT8, INT8)[at % 5]
        kernel, strides, pads, image = _window(rng)
        low = (type.qmin + type.qmax) // 2 if at % 3 == 0 else type.qmin
        operator = MaxPool2d(kernel, strides, (1, 1), pads, low, type.qmax)
        yield operator, (_filled(rng, type, (1, *image, channels)),)


def _averages(rng: np.random.Generator, kind: str) -> Iterator[Sample]:
    for at, channels in enumerate(CHANNELS):
        rule, x_type, y_type, _, _ = KINDS[at % len(KINDS)]
        kernel, strides, pads, image = _window(rng)
        x, y = params(rng, x_type, rule), params(rng, y_type, rule, 0.05 * x_type.qmax / y_type.qmax)
        data = _filled(rng, x_type, (1, *image, channels))
        operator: Operator
        if kind == "reduce_sum":
            count = image[0] * image[1]
            operator = ReduceSum.from_real(
                x, y, axes=(1, 2), keepdims=at % 2 == 0, factor=1 / count, count=count, rule=rule
            )
        else:
            options: dict[str, Any] = {"input_shape": image, "kernel": kernel, "strides": strides, "pads": pads}
            if at % 4 == 0:  # over the whole image
                options = {"input_shape": image, "kernel": image}
            same = x if at % 3 == 0 else y
            operator = AveragePool2d.from_real(x, same, **options, count_include_pad=at % 2 == 0, rule=rule)
        yield operator, (data,)
