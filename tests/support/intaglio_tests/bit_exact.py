"""Comparisons for parity tests, and a Program around one operator.

A comparison says how many differ, where first, got and want; it has no verdict that could be thrown away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.number import IntType, Requantize, Rule
from intaglio.program.operator import Ints, Operator
from intaglio.program.program import Node, Program, TensorInfo

Array = NDArray[Any]


def assert_bit_exact(got: Array, want: Array, what: str = "result") -> None:
    """Equal shapes, dtypes and elements; floats bit by bit, so -0.0 is not 0.0.

    Raises:
        AssertionError: with the count, the first place, got and want.
    """
    _same_shape(got, want, what)
    if got.dtype != want.dtype:
        raise AssertionError(f"{what}: got {got.dtype}, want {want.dtype}")
    bits = np.dtype(f"u{got.dtype.itemsize}")
    a, b = np.asarray(got, order="C").view(bits), np.asarray(want, order="C").view(bits)
    _report(a != b, got, want, what, "differ")


def assert_within_steps(got: Array, want: Array, steps: int, what: str = "result") -> None:
    """Equal shapes, integers at most `steps` apart.

    Raises:
        AssertionError: with the count, the largest difference, the first place, got and want.
    """
    _same_shape(got, want, what)
    if got.dtype.kind not in "iu" or want.dtype.kind not in "iu":
        raise AssertionError(f"{what}: steps are counted between integers, got {got.dtype} and {want.dtype}")
    apart = np.abs(got.astype(np.int64) - want.astype(np.int64))
    _report(apart > steps, got, want, what, f"are more than {steps} steps apart, up to {apart.max(initial=0)}")


def assert_within_ulp(got: Array, want: Array, ulp: int, what: str = "result") -> None:
    """Equal shapes and float dtypes; at most `ulp` representable numbers apart. NaN equals NaN only.

    Raises:
        AssertionError: with the count, the largest distance, the first place, got and want.
    """
    _same_shape(got, want, what)
    if got.dtype != want.dtype or got.dtype not in (np.float32, np.float64):
        raise AssertionError(f"{what}: got {got.dtype}, want {want.dtype}; ulp are counted in float32 or float64")
    a, b = _ordered(got), _ordered(want)
    apart = np.where(a > b, a - b, b - a).astype(np.uint64)
    nan = np.isnan(got) | np.isnan(want)
    bad = np.where(nan, np.isnan(got) != np.isnan(want), apart > ulp)
    largest = apart[~nan].max(initial=np.uint64(0))
    _report(bad, got, want, what, f"are more than {ulp} ulp apart, up to {largest}")


def _ordered(x: Array) -> Array:
    """Integers in the order of the floats, with neighbours one apart and both zeros equal."""
    bits = np.asarray(x, order="C").view(f"i{x.dtype.itemsize}").astype(np.int64)
    lowest = np.int64(-(1 << (8 * x.dtype.itemsize - 1)))
    return np.where(bits < 0, lowest - bits, bits)


def _same_shape(got: Array, want: Array, what: str) -> None:
    if got.shape != want.shape:
        raise AssertionError(f"{what}: got shape {got.shape}, want {want.shape}")


def _report(bad: Array, got: Array, want: Array, what: str, how: str) -> None:
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} elements {how}; first at {at}: got {got[at]}, want {want[at]}"
        )


def single_operator_program(operator: Operator, inputs: tuple[Ints, ...]) -> Program:
    """A Program that is not batched, around one operator, for inputs of these shapes and types."""
    types = [getattr(operator, "in_type", IntType.of(x.dtype)) for x in inputs]
    names = [f"x{i}" for i in range(len(inputs))]
    tensors = {n: TensorInfo(n, x.shape, t) for n, x, t in zip(names, inputs, types, strict=True)}
    tensors["y"] = TensorInfo("y", operator.shape(*(x.shape for x in inputs)), operator.out_type(*types))
    node = Node("node", operator, tuple(names), "y")
    return Program([node], tensors, {}, tuple(names), ("y",), rule_of(operator), "test", batched=False)


def rule_of(operator: Operator) -> Rule:
    """The rounding rule of a Program that the operator fits."""
    rules = {value.rule for value in vars(operator).values() if isinstance(value, Requantize)}
    if operator.rounds_once and rules == {Rule.HALF_AWAY}:
        return Rule.TFLITE
    return Rule.SHIFT if Rule.SHIFT in rules else rules.pop() if rules else Rule.HALF_UP
