"""Every kernel of every table returns what the operator's `integer` returns, bit for bit."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.boundaries import CHANNELS
from intaglio_tests.harness import SANITIZE, TRAP, Case, Reach, cases, check, operands, reach, samples

from intaglio.kernels.kernel import ROOT, kernels
from intaglio.number import Requantize, Rule
from intaglio.program import OPERATORS

ROWS = sorted({(row.isa != "scalar", row.isa, kind) for kind, rows in kernels().items() for row in rows})
TABLE = [pytest.param(isa, kind, id=f"{isa}-{kind}") for _, isa, kind in ROWS]
ISAS = sorted({isa for _, isa, _ in ROWS})
QUICK = 12
PLAIN = ("-O0",)  # no flag changes a result, and compilation is most of the time
OPTIMIZE = ("-O1",)


def run(found: Sequence[Case], directory: Path, isa: str, flags: Sequence[str] = PLAIN, root: Path = ROOT) -> str:
    how = reach(isa)
    if how is None:
        pytest.skip(f"needs a compiler, and a processor or an emulator that runs {isa}")
    return "\n".join(check(found, directory, how=how, flags=flags, root=root)[:20])


@pytest.mark.parametrize(("isa", "kind"), TABLE)
def test_kernel_matches_integer_reference(isa: str, kind: str, tmp_path: Path) -> None:
    """Of vector kernels a fair part of the samples: each shape brings functions of its own, which cost compilation."""
    found = list(cases(kind, isa))
    assert found, "no sample is served: the row is dead"
    if isa == "scalar":
        wrong = run(found, tmp_path, isa, OPTIMIZE)
    else:
        wrong = run(found[:: -(-len(found) // QUICK)], tmp_path, isa)
    assert not wrong, wrong


@pytest.mark.slow
@pytest.mark.parametrize(("isa", "kind"), [row for row in TABLE if row.values[0] != "scalar"])
def test_vector_kernel_matches_integer_reference_on_all_samples(isa: str, kind: str, tmp_path: Path) -> None:
    wrong = run(list(cases(kind, isa)), tmp_path, isa, OPTIMIZE)
    assert not wrong, wrong


@pytest.mark.parametrize("kind", sorted(OPERATORS))
def test_every_operator_has_a_scalar_kernel_that_serves_all_its_samples(kind: str) -> None:
    rows = [row for row in kernels().get(kind, ()) if row.isa == "scalar"]
    assert rows, f"{kind} has no scalar kernel"
    for sample in samples(kind):
        inputs, y = operands(sample)
        assert any(row.bind(sample[0], inputs, y) is not None for row in rows)


def test_the_scalar_kernels_pass_the_sanitizers(tmp_path: Path) -> None:
    """All in one program: linking the sanitizers is most of the time."""
    found = [case for kind in sorted(OPERATORS) for case in cases(kind, "scalar")]
    wrong = run(found, tmp_path, "scalar", (*PLAIN, *SANITIZE))
    assert not wrong, wrong


@pytest.mark.slow
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "scalar"])
def test_the_vector_kernels_pass_the_sanitizers(isa: str, tmp_path: Path) -> None:
    found = [case for kind in sorted(OPERATORS) for case in cases(kind, isa)]
    how = reach(isa)
    wrong = run(found, tmp_path, isa, (*PLAIN, *(TRAP if how and how.runner else SANITIZE)))
    assert not wrong, wrong


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("flags", [("-O3",), ("-O2", "-funsigned-char", "-fwrapv"), ("-O0",)], ids=" ".join)
def test_no_compiler_flag_changes_a_result(isa: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    found = [case for kind in sorted(OPERATORS) for case in cases(kind, isa)]
    wrong = run(found, tmp_path, isa, flags)
    assert not wrong, wrong


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang, which is not installed")
@pytest.mark.parametrize("isa", ISAS)
def test_clang_gives_the_same_integers(isa: str, tmp_path: Path) -> None:
    how = reach(isa)
    if how is None or how.runner:
        pytest.skip(f"needs a processor with {isa}")
    found = [case for kind in sorted(OPERATORS) for case in cases(kind, isa)]
    wrong = check(found, tmp_path, how=Reach(("clang",), how.flags), flags=("-O2",))
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["aarch64", "arm"])
def test_scalar_kernels_give_the_same_on_other_processors(family: str, tmp_path: Path) -> None:
    how = reach("scalar", family)
    if how is None:
        pytest.skip(f"needs a cross compiler and an emulator for {family}")
    found = [case for kind in sorted(OPERATORS) for case in cases(kind, "scalar")]
    wrong = check(found, tmp_path, how=how)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("kind", ["softmax", "layer_norm"])
def test_division_without_an_instruction_for_it_gives_the_same(kind: str, tmp_path: Path) -> None:
    wrong = run(list(cases(kind, "scalar")), tmp_path, "scalar", (*PLAIN, "-DIG_LONG_DIVISION"))
    assert not wrong, wrong


def test_equal_names_mean_equal_functions() -> None:
    known: dict[str, object] = {}
    for kind in OPERATORS:
        for isa in ISAS:
            for source in {source for case in cases(kind, isa) for source in case.call.sources}:
                name = dict(source.defines).get("IG_NAME", source.header)
                assert known.setdefault(name, source) == source, name


def test_names_tell_narrow_factors_from_wide_ones() -> None:
    """Also where no sample has both, as in programs of one target that were joined."""
    known: dict[str, object] = {}
    for kind in OPERATORS:
        for op, x in samples(kind):
            factors = [f.name for f in fields(op) if isinstance(getattr(op, f.name), Requantize)]
            for wide in product((False, True), repeat=len(factors)):
                chosen = {f: replace(getattr(op, f), wide=w) for f, w in zip(factors, wide, strict=True)}
                inputs, output = operands((op, x))
                for row in kernels().get(kind, ()):
                    call = row.bind(replace(op, **chosen), inputs, output) if row.isa == "scalar" else None
                    for source in () if call is None else call.sources:
                        name = dict(source.defines).get("IG_NAME", source.header)
                        assert known.setdefault(name, source) == source, name


MUTATIONS = [  # operator, file, what it says, what it says instead
    ("conv2d", "conv2d/scalar.h", "- p->pads[0]", "- p->pads[0] + 1"),
    ("conv2d", "common/requantize.h", "multiplier, 31 + shift", "multiplier, 30 + shift"),
    ("conv2d", "common/fixedpoint.h", "(int64_t)1 << 30", "(int64_t)1 << 29"),
    ("conv2d", "common/fixedpoint.h", "(mask >> 1) + (x < 0)", "(mask >> 1)"),
    ("dense", "common/requantize.h", "15 + shift", "16 + shift"),
    ("dense", "dense/scalar.h", "- p->x_zero_point", "- 0"),
    ("requantize", "common/fixedpoint.h", "x + ((int64_t)1 << (shift - 1))", "x + ((int64_t)1 << (shift - 1)) - 1"),
    ("requantize", "common/fixedpoint.h", "x < low ? low", "x < low ? low + 1"),
    ("add", "add/scalar.h", "p->sign *", "1 *"),
    ("add", "common/walk.h", "index /= size[k]", "index /= size[0]"),
    ("mul", "mul/scalar.h", "+ first * b_step", ""),
    ("lut", "lut/scalar.h", "(1 << shift) >> 1", "(1 << shift) >> 2"),
    ("lut", "lut/scalar.h", "part = rest & ((1 << k) - 1)", "part = 0"),
    ("prelu", "prelu/scalar.h", "steps >= 0", "steps > 8"),
    ("max_pool2d", "common/window.h", "-first + step - 1", "-first + step"),
    ("average_pool2d", "average_pool2d/scalar.h", "(uint32_t)count / 2", "(uint32_t)count / 3"),
    ("reduce_sum", "common/reduction.h", "at[k] = 0", "at[k] = 1"),
    ("softmax", "softmax/scalar.h", "sum >> 1", "sum >> 2"),
    ("softmax", "common/exponential.h", "(d >> 8)", "(d >> 7)"),
    ("masked_softmax", "masked_softmax/scalar.h", "row % p->masks", "0"),
    ("masked_softmax", "masked_softmax/scalar.h", "(keep[i] || empty)", "(keep[i])"),
    ("softmax_tflite", "common/gemmlowp.h", "<< (24 + k)", "<< (25 + k)"),
    ("log_softmax", "log_softmax/scalar.h", "(k - 30) * p", "(k - 29) * p"),
    ("layer_norm", "layer_norm/layer_norm.h", "(int64_t)1 << 61", "(int64_t)1 << 60"),
    ("argmax", "argmax/scalar.h", "k = 1;", "k = 2;"),
    ("conv_transpose2d", "conv_transpose2d/conv_transpose2d.h", "% p->strides[axis] == 0", ">= 0"),
    ("resize_bilinear", "resize_bilinear/scalar.h", "p->shift - 1)", "p->shift - 2)"),
    ("transpose", "move/scalar.h", "i * down + j * across", "j * down + i * across"),
    ("pad", "pad/scalar.h", "at < p->x_size[k]", "at <= p->x_size[k]"),
    # What the driver watches besides the integers: the bytes behind the output, division into parts, in place.
    ("clamp", "clamp/scalar.h", "i < end", "i <= end"),
    ("clamp", "clamp/scalar.h", "i = begin", "i = begin + (begin > 0)"),
    ("clamp", "clamp/scalar.h", "y[i] = ", "y[0] = 7, y[i] = "),
]


@pytest.mark.parametrize(
    ("kind", "file", "was", "now"), MUTATIONS, ids=[f"{m[0]}-{i}" for i, m in enumerate(MUTATIONS)]
)
def test_a_change_of_one_constant_turns_parity_red(kind: str, file: str, was: str, now: str, tmp_path: Path) -> None:
    root = tmp_path / "kernels"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (root / file).read_text()
    assert was in text, f"{file} no longer says {was!r}; choose another mutation"
    (root / file).write_text(text.replace(was, now, 1))
    assert run(list(cases(kind, "scalar")), tmp_path, "scalar", root=root)


def test_templates_use_integers_and_nothing_of_the_library_but_memcpy_and_memset() -> None:
    for path in ROOT.rglob("*.h"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(?:float|double)\b", text), path
        assert not re.search(r"\b(?:malloc|calloc|free|printf|memmove|abs|labs|assert)\s*\(", text), path
        system = set(re.findall(r"#\s*include <([^>]+)>", text))
        assert system <= {"stddef.h", "stdint.h", "string.h", "immintrin.h", "arm_neon.h", "arm_acle.h", "cpuid.h"}, (
            path
        )


def test_samples_reach_the_boundaries_of_vectors_and_every_rule() -> None:
    """The parity test is worth what its samples are."""
    assert {1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129} <= set(CHANNELS)
    plain = [(op, x) for op, (x,) in samples("conv2d") if op.groups == 1]
    depthwise = [(op, x) for op, (x,) in samples("conv2d") if op.groups == x.shape[-1] > 1]
    assert {x.shape[-1] for _, x in plain} >= set(CHANNELS)
    assert {x.shape[-1] for _, x in depthwise} >= set(CHANNELS) - {1}
    assert len({x.shape[2] for _, x in plain}) >= 15
    for kind in ("conv2d", "dense", "add"):
        rules = {op.requantize.rule for op, _ in samples(kind)}
        # A dense layer of a Program of the rule `tflite` rounds by `half_away`.
        assert rules == set(Rule) - ({Rule.TFLITE} if kind == "dense" else set()), kind
    asymmetric = [op for op, _ in plain if np.any(op.weight_zero_point)]
    assert len(asymmetric) >= 8
    assert any(isinstance(op.requantize, Requantize) and op.requantize.wide for op, _ in samples("mul"))
