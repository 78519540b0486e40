"""Random .tflite files of one operator on codes, against LiteRT's reference kernels."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.litert import compare, interpreter_of, random_inputs
from intaglio_tests.tflite_cases import CASES, Case

import intaglio as ig
from intaglio.frontends.tflite.contents import read_contents
from intaglio.frontends.tflite.operator_forms import FORMS, NEAR, SIXTEEN_BITS

FILES = int(os.environ.get("INTAGLIO_TFLITE_FILES", "12"))
"""Random files for each operator and type."""
REFUSED = {
    "MAXIMUM": "one computed operand and constant numbers",
    "MINIMUM": "one computed operand and constant numbers",
    "RSQRT": "expected every value to be quantized",
    "SQUARED_DIFFERENCE": "expected real numbers, got codes",
}
"""Operators that are refused on codes."""
UNKNOWN_TO_LITERT = {"ELU"}
EXACT = sorted(set(CASES) - set(NEAR) - set(REFUSED) - UNKNOWN_TO_LITERT)


def run(kind: str, dtype: str, folder: Path, number: int) -> str:
    """Compare one random file; return what became of it."""
    rng = np.random.default_rng([number, zlib.crc32(f"{kind} {dtype}".encode())])
    content = CASES[kind](Case(rng, dtype))
    contents = read_contents(content, kind)
    inputs = random_inputs(contents, rng, "extreme" if number % 4 == 0 else "uniform")
    try:
        interpreter = interpreter_of(content)
        for index, array in inputs.items():
            interpreter.set_tensor(index, array)
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return "LiteRT refuses it"
    path = folder / "one.tflite"
    path.write_bytes(content)
    q = ig.load_quantized(path)
    if kind in NEAR:
        assert any("may differ from TFLite" in line for line in q.history) or kind == "CONCATENATION"
        return "near"
    found = compare(content, q.lower(), inputs, interpreter)
    assert not found.differing, f"file {number}"
    assert not found.missing, f"file {number}"
    return "equal"


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("kind", EXACT)
def test_integers_equal_the_reference_kernel(kind: str, dtype: str, tmp_path: Path) -> None:
    found = Counter(run(kind, dtype, tmp_path, number) for number in range(FILES))
    assert set(found) <= {"equal", "LiteRT refuses it"}
    assert dtype == "uint8" or found["equal"] > FILES // 2


@pytest.mark.parametrize("kind", sorted(SIXTEEN_BITS & set(CASES)))
def test_integers_of_16_bits_equal_the_reference_kernel(kind: str, tmp_path: Path) -> None:
    assert set(Counter(run(kind, "int16", tmp_path, number) for number in range(FILES))) == {"equal"}


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "SUM", "GELU"])
def test_other_operators_on_16_bits_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ig.IntaglioError, match=rf"\[{kind} 0 't\d'\] expected codes of 8 bits, got 16"):
        run(kind, "int16", tmp_path, 0)


@pytest.mark.parametrize("kind", sorted(NEAR))
def test_the_history_says_where_integers_may_differ(kind: str, tmp_path: Path) -> None:
    assert "near" in Counter(run(kind, "int8", tmp_path, number) for number in range(3))


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_operators_without_equal_integers_are_refused(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    (tmp_path / "one.tflite").write_bytes(CASES[kind](Case(rng, "int8")))
    with pytest.raises(ig.IntaglioError, match=REFUSED[kind]):
        ig.load_quantized(tmp_path / "one.tflite").lower()


def test_every_case_is_an_operator_that_is_read() -> None:
    assert set(CASES) <= set(FORMS)
