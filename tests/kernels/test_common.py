"""The C helpers that kernels share against their twins in Python: all 8-bit inputs, properties beyond."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.harness import WARNINGS

from intaglio.kernels.kernel import ROOT
from intaglio.number import INT8, INT16, Requantize, Rule, fixedpoint, gemmlowp
from intaglio.program.exponential import exp_tables, exponentials

Function = Callable[..., np.ndarray]
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
EDGES = np.array([s * (1 << k) + d for k in range(32) for s in (-1, 1) for d in (-1, 0, 1)], np.int64)
EDGES32 = np.unique(EDGES[(EDGES >= -(1 << 31)) & (EDGES < 1 << 31)])
BYTES = np.arange(-128, 128, dtype=np.int64)
MANY = settings(deadline=None, max_examples=300)


def build(directory: Path, *flags: str) -> ctypes.CDLL:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    out = directory / "common.so"
    source = Path(__file__).parent / "common.c"
    command = [
        "gcc",
        "-std=c11",
        "-O1",
        *flags,
        *WARNINGS,
        "-fPIC",
        "-shared",
        f"-I{ROOT}",
        str(source),
        "-o",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(out))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    # A trap instead of the sanitizer's report: its library cannot be loaded late.
    return build(tmp_path_factory.mktemp("c"), "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")


def call(library: ctypes.CDLL, name: str, *arguments: Any) -> np.ndarray:
    """The C function over broadcast arguments."""
    arrays = [np.array(a, np.int64, order="C") for a in np.broadcast_arrays(*arguments)]
    out = np.empty(arrays[0].shape, np.int64)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in arrays] + [None] * (3 - len(arrays))
    getattr(library, name)(*pointers, out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
    return out


def same(library: ctypes.CDLL, name: str, twin: Function, *arguments: Any) -> None:
    assert_bit_exact(
        call(library, name, *arguments), np.asarray(twin(*np.broadcast_arrays(*arguments)), np.int64), name
    )


def test_helpers_agree_on_every_byte_and_every_power_of_two(library: ctypes.CDLL) -> None:
    for x in (BYTES[:, None], EDGES32[:, None]):
        shifts = np.arange(32)
        same(library, "rounding_shift_right", fixedpoint.rounding_shift_right, x, shifts)
        same(library, "saturating_shift_left", fixedpoint.saturating_shift_left, x, shifts)
        same(library, "rounding_divide_by_pot", fixedpoint.rounding_divide_by_pot, x, shifts)
        for other in (BYTES, EDGES32):
            name = "saturating_rounding_doubling_high_multiply"
            same(library, name, fixedpoint.saturating_rounding_doubling_high_multiply, x, other)
    wide = EDGES[np.abs(EDGES) < 1 << 31] << 30
    same(library, "rounding_shift_right", fixedpoint.rounding_shift_right, wide[:, None], np.arange(63))
    same(library, "saturating_shift_left", fixedpoint.saturating_shift_left, wide[:, None], np.arange(32))
    positive = np.abs(np.concatenate([BYTES, EDGES32, wide])) + 1
    same(library, "floor_log2", fixedpoint.floor_log2, positive)
    same(library, "integer_sqrt", fixedpoint.integer_sqrt, positive - 1)
    squares = np.arange(1, 1 << 31, 1 << 20, dtype=np.int64) ** 2
    for step in (-1, 0, 1):
        same(library, "integer_sqrt", fixedpoint.integer_sqrt, squares + step)


@MANY
@given(INT32, INT32, INT32)
def test_saturate(library: ctypes.CDLL, x: int, a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert call(library, "saturate", x << 20, low, high) == min(max(x << 20, low), high)


@MANY
@given(INT32, INT32, st.integers(0, 31))
@example(-(1 << 31), -(1 << 31), 31)
def test_gemmlowp_primitives(library: ctypes.CDLL, a: int, b: int, exponent: int) -> None:
    name = "saturating_rounding_doubling_high_multiply"
    same(library, name, fixedpoint.saturating_rounding_doubling_high_multiply, a, b)
    same(library, "rounding_divide_by_pot", fixedpoint.rounding_divide_by_pot, a, exponent)


@MANY
@given(st.integers(0, (1 << 62) - 1), st.integers(1, (1 << 62) - 1))
@example((1 << 62) - 1, 1)
@example(0, (1 << 62) - 1)
def test_square_root_logarithm_and_division(library: ctypes.CDLL, x: int, y: int) -> None:
    same(library, "integer_sqrt", fixedpoint.integer_sqrt, x)
    same(library, "floor_log2", fixedpoint.floor_log2, y)
    assert call(library, "divide", x, y) == x // y
    assert call(library, "divide", x, y >> 31 or 1) == x // (y >> 31 or 1)


def test_long_division_is_the_division(tmp_path: Path, rng: np.random.Generator) -> None:
    library = build(tmp_path, "-DIG_LONG_DIVISION")
    x = rng.integers(0, 1 << 62, 2000) >> rng.integers(0, 62, 2000)
    y = np.maximum(rng.integers(0, 1 << 62, 2000) >> rng.integers(0, 62, 2000), 1)
    for a, b in ((x, y), (np.append(x, (1 << 63) - 1), np.append(y, 1)), (np.full_like(y, (1 << 63) - 1), y)):
        assert_bit_exact(call(library, "divide", a, b), a // b)


@MANY
@given(st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.integers(1 << 30, (1 << 31) - 1), st.integers(-30, 31))
@example((1 << 31) - 1, (1 << 31) - 1, -30)
@example(-(1 << 31) + 1, (1 << 31) - 1, 31)
def test_requantization_by_every_rule(library: ctypes.CDLL, acc: int, multiplier: int, shift: int) -> None:
    for rule in Rule:
        factor = Requantize(np.asarray(multiplier, np.int32), np.asarray(shift, np.int32), rule)
        assert factor.problem() is None
        assert_bit_exact(
            call(library, f"scale_{rule.value}", acc, multiplier, shift), np.asarray(factor.scale(np.asarray(acc)))
        )


@MANY
@given(st.integers(-(1 << 47) + 1, (1 << 47) - 1), st.integers(1 << 14, (1 << 15) - 1), st.integers(-14, 47))
@example((1 << 47) - 1, (1 << 15) - 1, -14)
@example(-(1 << 47) + 1, (1 << 15) - 1, 47)
def test_requantization_of_wide_accumulators(library: ctypes.CDLL, acc: int, top: int, shift: int) -> None:
    for rule in (Rule.HALF_UP, Rule.HALF_EVEN, Rule.HALF_AWAY, Rule.SHIFT):
        multiplier, s = top << 16, min(shift, 31 if rule is Rule.SHIFT else 47)
        factor = Requantize(np.asarray(multiplier, np.int32), np.asarray(s, np.int32), rule, wide=True)
        assert factor.problem() is None
        assert_bit_exact(
            call(library, f"scale_{rule.value}_wide", acc, multiplier, s), np.asarray(factor.scale(np.asarray(acc)))
        )


def test_exp_and_reciprocal_of_gemmlowp(library: ctypes.CDLL, rng: np.random.Generator) -> None:
    a = np.concatenate([-np.abs(EDGES32), -rng.integers(0, 1 << 31, 5000), -np.arange(3000)])
    same(library, "exp_on_negative_values", gemmlowp.exp_on_negative_values, a)
    b = np.concatenate([EDGES32[EDGES32 >= 0], rng.integers(0, 1 << 31, 5000)])
    same(library, "one_over_one_plus_x", gemmlowp.one_over_one_plus_x, b)


@pytest.mark.parametrize("type", [INT8, INT16], ids=str)
@pytest.mark.parametrize("scale", [1e-5, 0.01, 0.7])
def test_exponential_of_every_difference(library: ctypes.CDLL, type: Any, scale: float) -> None:
    low, high = exp_tables(scale, type)
    d = np.arange(1 << type.bits, dtype=np.int64)
    out = np.empty_like(d)

    def pointer(array: np.ndarray) -> ctypes.c_void_p:
        return array.ctypes.data_as(ctypes.c_void_p)

    library.exponential(
        pointer(low), low.size, pointer(high), high.size, pointer(d), pointer(out), ctypes.c_int64(d.size)
    )
    assert_bit_exact(out, exponentials(-d, low, high))
