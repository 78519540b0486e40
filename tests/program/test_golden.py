"""Programs and results that were written once: files of version 1 stay readable, and no bit changes unnoticed.

A change here is a breaking change. If it is meant, say so in CHANGELOG.md and write the files of these operators anew:
`PYTHONPATH=tests/support python tests/program/test_golden.py KIND ...`; without a kind, those of operators that have no
file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program

from intaglio.program import OPERATORS
from intaglio.program.file import from_bytes, to_bytes

FOLDER = Path(__file__).parent / "golden"


def test_every_operator_has_a_file() -> None:
    assert set(OPERATORS) <= {path.stem for path in FOLDER.glob("*.npz")}


@pytest.mark.parametrize("kind", sorted(path.stem for path in FOLDER.glob("*.npz")))
def test_old_files_give_the_same_bits(kind: str) -> None:
    with np.load(FOLDER / f"{kind}.npz") as arrays:
        cases = sorted({key.split(".")[0] for key in arrays})
        assert cases
        for case in cases:
            program = from_bytes(arrays[f"{case}.program"].tobytes())
            got = program.run_int(*(arrays[f"{case}.{name}"] for name in program.inputs))
            what = f"{kind} {case}: CHANGELOG.md has to say so; then write the golden files again"
            assert_bit_exact(got, arrays[f"{case}.y"], what)


def write(*kinds: str) -> None:
    """First, middle and last of the samples of these operators that are small; no other file is touched."""
    FOLDER.mkdir(exist_ok=True)
    for kind in kinds or [kind for kind in OPERATORS if not (FOLDER / f"{kind}.npz").exists()]:
        samples = [s for s in OPERATORS[kind].samples(np.random.default_rng(2024)) if sum(x.size for x in s[1]) <= 2000]
        arrays = {}
        for i in sorted({0, len(samples) // 2, len(samples) - 1}):
            operator, inputs = samples[i]
            program = single_operator_program(operator, inputs)
            arrays[f"{i}.program"] = np.frombuffer(to_bytes(program), np.uint8)
            arrays[f"{i}.y"] = program.run_int(*inputs)
            for name, x in zip(program.inputs, inputs, strict=True):
                arrays[f"{i}.{name}"] = x
        np.savez_compressed(FOLDER / f"{kind}.npz", **arrays)


if __name__ == "__main__":
    write(*sys.argv[1:])
