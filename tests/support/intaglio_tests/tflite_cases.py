"""Random .tflite files of a single operator on codes, extremes included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from intaglio_tests.tflite_net import TfliteNet

Rng = np.random.Generator
SHAPE = (1, 5, 6, 4)


class Case:
    """One file under construction, of one type of codes."""

    def __init__(self, rng: Rng, dtype: Any) -> None:
        self.rng, self.dtype, self.net = rng, np.dtype(dtype), TfliteNet()
        self.info = np.iinfo(self.dtype)

    def grid(self, low: float = 0.002, high: float = 0.2) -> tuple[float, int]:
        """A scale and a zero point; the zero point is an end of the range now and then."""
        scale = float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))
        if self.dtype == np.int16:
            return scale, 0
        ends = (self.info.min, self.info.max, int(self.rng.integers(self.info.min, self.info.max + 1)))
        return scale, int(self.rng.choice(ends, p=(0.15, 0.15, 0.7)))

    def codes(self, shape: tuple[int, ...], low: int | None = None) -> np.ndarray:
        """Uniform codes, or only the ends of the range."""
        low = self.info.min if low is None else low
        if self.rng.random() < 0.2:
            return self.rng.choice([low, self.info.max], shape).astype(self.dtype)
        return self.rng.integers(low, self.info.max + 1, shape).astype(self.dtype)

    def x(self, shape: tuple[int, ...] = SHAPE, grid: tuple[float, int] | None = None) -> int:
        return self.net.input(shape, self.dtype, *(grid or self.grid()))

    def y(self, shape: tuple[int, ...], grid: tuple[float, int] | None = None) -> int:
        return self.net.tensor(shape, self.dtype, *(grid or self.grid()))

    def activation(self) -> int:
        kinds = self.net.schema.ActivationFunctionType
        return int(self.rng.choice([kinds.NONE, kinds.RELU, kinds.RELU6, kinds.RELU_N1_TO_1]))

    def weight(self, shape: tuple[int, ...], axis: int) -> tuple[int, np.ndarray]:
        """A weight with one scale or one for each channel; returns its scales too."""
        if self.dtype == np.uint8:
            scale, zero = self.grid()
            return self.net.constant(self.codes(shape), scale, zero), np.array([scale])
        count = shape[axis] if self.rng.random() < 0.7 else 1
        scales = self.rng.uniform(0.002, 0.02, count).astype(np.float32)
        codes = self.rng.integers(-127, 128, shape).astype(np.int8)
        return self.net.constant(codes, scales, 0, axis=axis), scales

    def bias(self, count: int, x_scale: float, scales: np.ndarray) -> int:
        codes = self.rng.integers(-3000, 3000, count).astype(np.int32)
        return self.net.constant(codes, (np.float32(x_scale) * scales).astype(np.float32), 0)

    def same(self) -> int:
        return int(self.net.schema.Padding.SAME if self.rng.random() < 0.5 else self.net.schema.Padding.VALID)

    def spatial(self, size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
        reach = (kernel - 1) * dilation + 1
        return -(-size // stride) if padding == self.net.schema.Padding.SAME else (size - reach) // stride + 1


def conv(c: Case) -> bytes:
    grid = c.grid()
    kernel, strides, dilation = c.rng.integers(1, 4, 2), c.rng.integers(1, 3, 2), int(c.rng.integers(1, 3))
    strides = strides if dilation == 1 else np.array([1, 1])
    padding, out = c.same(), int(c.rng.integers(1, 6))
    h, w = (c.spatial(s, int(k), int(t), padding, dilation) for s, k, t in zip((7, 8), kernel, strides, strict=True))
    x = c.x((1, 7, 8, 3), grid)
    weight, scales = c.weight((out, *kernel, 3), 0)
    y = c.y((1, h, w, out))
    c.net.op(
        "CONV_2D", [x, weight, c.bias(out, grid[0], scales)], [y], "Conv2DOptions", padding=padding,
        strideH=int(strides[0]), strideW=int(strides[1]), dilationHFactor=dilation, dilationWFactor=dilation,
        fusedActivationFunction=c.activation(),
    )  # fmt: skip
    return c.net.content([y])


def depthwise(c: Case) -> bytes:
    grid, kernel, padding = c.grid(), c.rng.integers(1, 4, 2), c.same()
    stride, times = (int(n) for n in c.rng.integers(1, 3, 2))
    h, w = (c.spatial(s, int(k), stride, padding) for s, k in zip((7, 8), kernel, strict=True))
    x = c.x((1, 7, 8, 3), grid)
    weight, scales = c.weight((1, *kernel, 3 * times), 3)
    y = c.y((1, h, w, 3 * times))
    c.net.op(
        "DEPTHWISE_CONV_2D", [x, weight, c.bias(3 * times, grid[0], scales)], [y], "DepthwiseConv2DOptions",
        padding=padding, strideH=stride, strideW=stride, depthMultiplier=times, dilationHFactor=1, dilationWFactor=1,
        fusedActivationFunction=c.activation(),
    )  # fmt: skip
    return c.net.content([y])


def transpose_conv(c: Case) -> bytes:
    grid, kernel, padding = c.grid(), c.rng.integers(1, 4, 2), c.same()
    stride, out = int(c.rng.integers(1, 3)), int(c.rng.integers(1, 5))
    same = padding == c.net.schema.Padding.SAME
    h, w = ((s - 1 + same) * stride + (0 if same else int(k)) for s, k in zip((4, 5), kernel, strict=True))
    sizes = c.net.constant(np.array([1, h, w, out], np.int32))
    weight, scales = c.weight((out, *kernel, 3), 0)
    x, y = c.x((1, 4, 5, 3), grid), c.y((1, h, w, out))
    inputs = [sizes, weight, x] + ([c.bias(out, grid[0], scales)] if c.rng.random() < 0.5 else [])
    c.net.op("TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", padding=padding, strideH=stride, strideW=stride)
    return c.net.content([y])


def fully_connected(c: Case) -> bytes:
    grid, k, out = c.grid(), int(c.rng.integers(1, 40)), int(c.rng.integers(1, 6))
    x = c.x((2, 3, k), grid)
    weight, scales = c.weight((out, k), 0)
    keep = bool(c.rng.random() < 0.5)
    y = c.y((2, 3, out) if keep else (6, out))
    c.net.op(
        "FULLY_CONNECTED", [x, weight, c.bias(out, grid[0], scales)], [y], "FullyConnectedOptions",
        keepNumDims=keep, fusedActivationFunction=c.activation(),
    )  # fmt: skip
    return c.net.content([y])


def batch_matmul(c: Case) -> bytes:
    a, b, y = c.x((2, 3, 7)), c.x((2, 7, 5)), c.y((2, 3, 5))
    c.net.op("BATCH_MATMUL", [a, b], [y], "BatchMatMulOptions")
    return c.net.content([y])


def pool(kind: str) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid, kernel, stride, padding = c.grid(), c.rng.integers(1, 4, 2), int(c.rng.integers(1, 3)), c.same()
        h, w = (c.spatial(s, int(k), stride, padding) for s, k in zip((5, 6), kernel, strict=True))
        x, y = c.x(SHAPE, grid), c.y((1, h, w, 4), grid)
        c.net.op(
            kind, [x], [y], "Pool2DOptions", padding=padding, strideH=stride, strideW=stride,
            filterHeight=int(kernel[0]), filterWidth=int(kernel[1]), fusedActivationFunction=c.activation(),
        )  # fmt: skip
        return c.net.content([y])

    return make


def binary(kind: str, table: str, *, fused: bool = True) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        other = [SHAPE, (4,), (1, 1, 1, 4), (1, 5, 1, 4), (1, 1, 1, 1)][int(c.rng.integers(5))]
        x = c.x()
        constant = c.rng.random() < 0.4
        b = c.net.constant(c.codes(other), *c.grid()) if constant else c.x(other)
        inputs, y = [x, b] if c.rng.random() < 0.7 else [b, x], c.y(SHAPE)
        options = {"fusedActivationFunction": c.activation()} if fused else {}
        c.net.op(kind, inputs, [y], table, **options)
        return c.net.content([y])

    return make


def extremum(kind: str) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid = c.grid()
        x, b, y = c.x(SHAPE, grid), c.x([SHAPE, (1, 1, 1, 4)][int(c.rng.integers(2))], grid), c.y(SHAPE, grid)
        c.net.op(kind, [x, b], [y], "MaximumMinimumOptions")
        return c.net.content([y])

    return make


def unary(
    kind: str, table: str = "", *, out: tuple[float, int] | None = None, same: bool = False, **options: Any
) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid = c.grid()
        fixed = out
        if out is not None and c.dtype == np.uint8:
            fixed = (out[0], out[1] + 128)
        x = c.x(SHAPE, grid)
        y = c.y(SHAPE, grid if same else fixed)
        c.net.op(kind, [x], [y], table, **options)
        return c.net.content([y])

    return make


def prelu(c: Case) -> bytes:
    x, slope, y = c.x(), c.net.constant(c.codes((1, 1, 4)), *c.grid()), c.y(SHAPE)
    c.net.op("PRELU", [x, slope], [y])
    return c.net.content([y])


def reduce(kind: str, *, same: bool = False) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid = c.grid()
        count = int(c.rng.integers(1, 4))
        axes = sorted(int(a) for a in c.rng.choice([1, 2, 3], count, replace=False))
        keep = bool(c.rng.random() < 0.5)
        shape = tuple(1 if a in axes else s for a, s in enumerate(SHAPE) if keep or a not in axes)
        x, y = c.x(SHAPE, grid), c.y(shape, grid if same or c.rng.random() < 0.3 else None)
        c.net.op(kind, [x, c.net.constant(np.array(axes, np.int32))], [y], "ReducerOptions", keepDims=keep)
        return c.net.content([y])

    return make


def concatenation(c: Case) -> bytes:
    grid, axis = c.grid(), int(c.rng.integers(1, 4))
    sizes = [int(s) for s in c.rng.integers(1, 4, 2)]
    shapes = [tuple(n if a == axis else s for a, s in enumerate(SHAPE)) for n in sizes]
    grids = [grid if c.dtype == np.int8 or c.rng.random() < 0.5 else c.grid() for _ in sizes]
    inputs = [c.x(shape, g) for shape, g in zip(shapes, grids, strict=True)]
    y = c.y(tuple(sum(sizes) if a == axis else s for a, s in enumerate(SHAPE)), grid)
    c.net.op("CONCATENATION", inputs, [y], "ConcatenationOptions", axis=axis)
    return c.net.content([y])


def split(c: Case) -> bytes:
    grid = c.grid()
    x, axis = c.x((1, 5, 6, 4), grid), int(c.rng.choice([2, 3]))
    parts = [c.y(tuple(s // 2 if a == axis else s for a, s in enumerate(SHAPE)), grid) for _ in range(2)]
    c.net.op("SPLIT", [c.net.constant(np.array(axis, np.int32)), x], parts, "SplitOptions", numSplits=2)
    return c.net.content(parts)


def pad(kind: str) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid = c.grid()
        pads = np.array([[0, 0], *c.rng.integers(0, 3, (3, 2)).tolist()], np.int32)
        x = c.x(SHAPE, grid)
        y = c.y(tuple(s + int(p.sum()) for s, p in zip(SHAPE, pads, strict=True)), grid)
        inputs = [x, c.net.constant(pads)]
        if kind == "PADV2":
            inputs.append(c.net.constant(c.codes((1,)), *grid))
        table = "MirrorPadOptions" if kind == "MIRROR_PAD" else ""
        c.net.op(kind, inputs, [y], table)
        return c.net.content([y])

    return make


def resize(kind: str) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid, sizes = c.grid(), [int(s) for s in c.rng.integers(1, 13, 2)]
        flags = [{}, {"alignCorners": True}, {"halfPixelCenters": True}][int(c.rng.integers(3))]
        x, y = c.x(SHAPE, grid), c.y((1, *sizes, 4), grid)
        table = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
        c.net.op(kind, [x, c.net.constant(np.array(sizes, np.int32))], [y], table, **flags)
        return c.net.content([y])

    return make


def moved(kind: str) -> Callable[[Case], bytes]:
    def make(c: Case) -> bytes:
        grid = c.grid()
        x = c.x(SHAPE, grid)
        if kind == "TRANSPOSE":
            perm = c.rng.permutation(4).astype(np.int32)
            y = c.y(tuple(SHAPE[p] for p in perm), grid)
            c.net.op(kind, [x, c.net.constant(perm)], [y], "TransposeOptions")
        elif kind == "RESHAPE":
            y = c.y((1, 30, 4), grid)
            c.net.op(
                kind, [x, c.net.constant(np.array([1, -1, 4], np.int32))], [y], "ReshapeOptions", newShape=[1, 30, 4]
            )
        else:
            begin, steps = np.array([0, 1, -1, 0], np.int32), np.array([1, 2, -1, 1], np.int32)
            y = c.y((1, 2, 6, 4), grid)
            given = [x, c.net.constant(begin), c.net.constant(np.array([1, 5, 0, 4], np.int32)), c.net.constant(steps)]
            c.net.op(kind, given, [y], "StridedSliceOptions", endMask=4)
        return c.net.content([y])

    return make


_UNIT = (1 / 256, -128)
CASES: dict[str, Callable[[Case], bytes]] = {
    "ABS": unary("ABS"),
    "ADD": binary("ADD", "AddOptions"),
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "BATCH_MATMUL": batch_matmul,
    "CONCATENATION": concatenation,
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "DIV": binary("DIV", "DivOptions"),
    "ELU": unary("ELU"),
    "EXP": unary("EXP", "ExpOptions"),
    "FULLY_CONNECTED": fully_connected,
    "GELU": unary("GELU", "GeluOptions"),
    "HARD_SWISH": unary("HARD_SWISH"),
    "L2_NORMALIZATION": unary("L2_NORMALIZATION", "L2NormOptions", out=(1 / 128, 0)),
    "LEAKY_RELU": unary("LEAKY_RELU", "LeakyReluOptions", alpha=0.1),
    "LOG_SOFTMAX": unary("LOG_SOFTMAX", "LogSoftmaxOptions", out=(16 / 256, 127)),
    "LOGISTIC": unary("LOGISTIC", out=_UNIT),
    "MAXIMUM": extremum("MAXIMUM"),
    "MAX_POOL_2D": pool("MAX_POOL_2D"),
    "MEAN": reduce("MEAN"),
    "MINIMUM": extremum("MINIMUM"),
    "MIRROR_PAD": pad("MIRROR_PAD"),
    "MUL": binary("MUL", "MulOptions"),
    "PAD": pad("PAD"),
    "PADV2": pad("PADV2"),
    "PRELU": prelu,
    "QUANTIZE": unary("QUANTIZE"),
    "REDUCE_MAX": reduce("REDUCE_MAX", same=True),
    "REDUCE_MIN": reduce("REDUCE_MIN", same=True),
    "RELU": unary("RELU"),
    "RELU6": unary("RELU6"),
    "RELU_N1_TO_1": unary("RELU_N1_TO_1"),
    "RESHAPE": moved("RESHAPE"),
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR"),
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR"),
    "RSQRT": unary("RSQRT"),
    "SOFTMAX": unary("SOFTMAX", "SoftmaxOptions", out=_UNIT, beta=1.0),
    "SPLIT": split,
    "STRIDED_SLICE": moved("STRIDED_SLICE"),
    "SUB": binary("SUB", "SubOptions"),
    "SUM": reduce("SUM"),
    "SQUARED_DIFFERENCE": binary("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", fused=False),
    "TANH": unary("TANH", out=(1 / 128, 0)),
    "TRANSPOSE": moved("TRANSPOSE"),
    "TRANSPOSE_CONV": transpose_conv,
}
"""By operator: how a random file of it is made."""
