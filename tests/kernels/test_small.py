"""The kernels of small processors, also with their instructions in plain C, and without a multiply of 64 bits."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.harness import SANITIZE, Case, cases, check

from intaglio.kernels.kernel import ROOT, kernels
from intaglio.number import Requantize, Rule

DSP = ["conv2d", "dense"]
PLAIN = ["conv2d", "dense", "add"]
OPTIMIZE = ("-O1",)


@pytest.fixture(autouse=True)
def compiler() -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")


def run(found: Sequence[Case], directory: Path, flags: Sequence[str] = OPTIMIZE, root: Path = ROOT) -> str:
    assert found
    return "\n".join(check(found, directory, flags=flags, root=root)[:20])


def plain_cases(kind: str) -> list[Case]:
    """Of the first scalar row alone."""
    return [case for case in cases(kind, "scalar") if case.name.startswith(f"{kind} scalar 0 ")]


def test_the_tables_have_these_rows() -> None:
    for kind in DSP:
        assert "dsp" in {row.isa for row in kernels()[kind]}
    for kind in PLAIN:
        assert [row.bind.__name__ for row in kernels()[kind] if row.isa == "scalar"] == ["plain", "scalar"]


def test_dsp_kernels_match_the_reference_in_plain_c_and_pass_the_sanitizers(tmp_path: Path) -> None:
    found = [case for kind in DSP for case in cases(kind, "dsp")]
    wrong = run(found, tmp_path, (*OPTIMIZE, *SANITIZE))
    assert not wrong, wrong


def test_plain_kernels_match_without_a_long_multiply(tmp_path: Path) -> None:
    found = [case for kind in PLAIN for case in plain_cases(kind)]
    wrong = run(found, tmp_path, (*OPTIMIZE, "-DIG_NO_LONG_MULTIPLY", *SANITIZE))
    assert not wrong, wrong


HELPERS = """
#define IG_NAME unused
#define IG_A int8_t
#define IG_B int8_t
#define IG_Y int8_t
#define IG_OPERAND ig_operand_half_up
#define IG_FINISH ig_finish_half_up
#include "add/plain.h"
#define EACH(name, call) \\
    void name(const int32_t *a, const int32_t *m, const int32_t *s, int32_t *y, int64_t n) \\
    { for (int64_t i = 0; i < n; i++) y[i] = call; }
EACH(multiply_high, ig_multiply_high(a[i], m[i]))
EACH(operand_half_up, ig_operand_half_up(a[i], m[i], s[i]))
EACH(operand_tflite, ig_operand_tflite(a[i], m[i], s[i]))
EACH(finish_half_up, ig_finish_half_up(a[i], m[i], s[i], 3, INT32_MIN, INT32_MAX))
EACH(finish_half_even, ig_finish_half_even(a[i], m[i], s[i], 3, INT32_MIN, INT32_MAX))
EACH(finish_half_away, ig_finish_half_away(a[i], m[i], s[i], 3, INT32_MIN, INT32_MAX))
EACH(finish_tflite, ig_finish_tflite(a[i], m[i], s[i], 3, INT32_MIN, INT32_MAX))
EACH(finish_shift, ig_finish_shift(a[i], m[i], s[i], 3, INT32_MIN, INT32_MAX))
"""


@pytest.fixture(scope="module", params=["", "-DIG_NO_LONG_MULTIPLY"])
def helpers(request, tmp_path_factory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("helpers")
    (folder / "h.c").write_text(HELPERS)
    flags = [flag for flag in (request.param, "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error") if flag]
    command = ["gcc", "-std=c11", "-O1", *flags, "-fPIC", "-shared", f"-I{ROOT}", "h.c", "-o", "h.so"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "h.so"))


def call(library: ctypes.CDLL, name: str, *arguments: np.ndarray) -> np.ndarray:
    arrays = [np.ascontiguousarray(a, np.int32) for a in np.broadcast_arrays(*arguments)]
    out = np.empty(arrays[0].shape, np.int32)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (*arrays, out)]
    getattr(library, name)(*pointers, ctypes.c_int64(out.size))
    return out


def multipliers(rng: np.random.Generator, count: int) -> np.ndarray:
    ends = [1 << 30, (1 << 30) + 1, (1 << 31) - 1, (1 << 31) - 2, 0x4000FFFF, 0x7FFF0000]
    return np.array([*ends, *rng.integers(1 << 30, 1 << 31, count)], np.int64)


def test_operands_of_sums_are_exact_for_every_code(helpers, rng) -> None:
    d, m, s = np.arange(-255, 256)[:, None, None], multipliers(rng, 50)[:, None], np.arange(15)
    for rule in (Rule.HALF_UP, Rule.TFLITE):
        want = Requantize(m.astype(np.int32), s.astype(np.int32), rule).scale((d << 20) + 0 * m + 0 * s)
        assert_bit_exact(call(helpers, f"operand_{rule.value}", d, m, s), want.astype(np.int32), rule.value)


@pytest.mark.parametrize("rule", Rule)
def test_finishing_is_requantization(helpers, rng, rule) -> None:
    edges = np.array([k * (1 << e) + d for e in range(31) for k in (-1, 1) for d in (-1, 0, 1)], np.int64)
    acc = np.concatenate([edges, rng.integers(-(1 << 31), 1 << 31, 500)])[:, None, None]
    low = -3 if rule is Rule.SHIFT else 0  # negative shifts of large numbers saturate everything
    m, s = multipliers(rng, 20)[:, None], np.arange(low, 31)
    scaled = Requantize(m.astype(np.int32), s.astype(np.int32), rule).scale(acc + 0 * m + 0 * s)
    want = np.clip(scaled + 3, -(1 << 31), (1 << 31) - 1).astype(np.int32)
    assert_bit_exact(call(helpers, f"finish_{rule.value}", acc, m, s), want, rule.value)


def test_high_word_of_a_product(helpers, rng) -> None:
    a = np.array([s * (1 << k) + d for k in range(31) for s in (-1, 1) for d in (-1, 0, 1)], np.int64)[:, None]
    b = multipliers(rng, 500)
    assert_bit_exact(call(helpers, "multiply_high", a, b, 0 * b), ((a * b) >> 32).astype(np.int32))


MUTATIONS = [  # operator, instruction set, file, what it says, what it says instead
    ("conv2d", "dsp", "conv2d/dsp.h", "- p->pads[0]", "- p->pads[0] + 1"),
    ("conv2d", "dsp", "conv2d/dsp.h", "acc[3] -= z1 * sum[1]", "acc[3] -= z1 * sum[0]"),
    ("conv2d", "dsp", "conv2d/depthwise_dsp.h", "column + kw > p->width", "column + kw > p->width + 1"),
    ("conv2d", "dsp", "common/column_dsp.h", "x + n - 4", "x + n - 3"),
    ("conv2d", "dsp", "common/simd32.h", "ig_even_s8(word >> 8)", "ig_even_s8(word >> 9)"),
    ("dense", "dsp", "common/finish.h", "(shift - 2)))", "(shift - 1)))"),
    ("dense", "dsp", "dense/dsp.h", "(p->depth + 7) / 8 * 2", "(p->depth + 6) / 8 * 2"),
    ("conv2d", "scalar", "conv2d/plain.h", "- z * sum", "- z * (sum + 1)"),
    ("conv2d", "scalar", "conv2d/patch.h", "left + p->kernel[1] <= p->width", "left + p->kernel[1] <= p->width + 1"),
    ("conv2d", "scalar", "conv2d/depthwise_plain.h", "for (; kh; kh--", "for (; kh > 1; kh--"),
    ("dense", "scalar", "common/dot_plain.h", "0x00ff00ff", "0x00ff00fe"),
    ("add", "scalar", "add/plain.h", "multiplier >> 16", "multiplier >> 17"),
    ("add", "scalar", "add/plain.h", "left + sign * right", "left - sign * right"),
]


@pytest.mark.parametrize(
    ("kind", "isa", "file", "was", "now"), MUTATIONS, ids=[f"{m[2]}-{i}" for i, m in enumerate(MUTATIONS)]
)
def test_a_change_of_one_constant_turns_parity_red(kind, isa, file, was, now, tmp_path) -> None:
    root = tmp_path / "kernels"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (root / file).read_text()
    assert was in text, f"{file} no longer says {was!r}; choose another mutation"
    (root / file).write_text(text.replace(was, now, 1))
    found = plain_cases(kind) if isa == "scalar" else list(cases(kind, isa))
    assert run(found, tmp_path, ("-O0",), root)
