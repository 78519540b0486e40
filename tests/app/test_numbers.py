"""`main.c` reads numbers as Python does, to the last bit, and refuses what is none."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import single_operator_program
from intaglio_tests.c_application import (
    QUICK,
    SANITIZE,
    build_application,
    expected_classes,
    identity_program,
    printed_numbers,
    run_application,
)

from intaglio.app.pieces import SOURCES
from intaglio.codegen.buildfiles import WARNINGS
from intaglio.data import open_data
from intaglio.data.postprocess import ClassOutput, NumberOutput
from intaglio.number import BIPOLAR, INT8, INT16, UINT8, IntType
from intaglio.program.operators.clamp import Clamp
from intaglio.program.sampling import grid

GRIDS = {
    "uint8": grid(UINT8, 0.0173, 131),
    "int8": grid(INT8, 0.11, -7),
    "int16": grid(INT16, 1 / 3000),
    "uint4": grid(IntType(4, signed=False), 0.3, 5),
    "bipolar": grid(BIPOLAR, 0.7),
}
DRIVER = """#include "read_number.h"
#include <stdio.h>
int main(void)
{
    static unsigned char text[1 << 20];
    const size_t size = fread(text, 1, sizeof text, stdin);
    for (size_t at = 0; at < size; at++) {
        double value = 0;
        const enum number_status status = read_number(text, size, &at, &value);
        printf("%d %a\\n", (int)status, value);
        while (at < size && text[at] != '\\n')
            at++;
    }
    return 0;
}
"""


def as_read(text: str) -> float:
    """What `read_number.h` promises: Python's number, without those that no float tells from 0."""
    value = float(text)
    return value if abs(value) >= 1e-46 else value * 0


def random_numbers(count: int) -> list[str]:
    rng = np.random.default_rng(3)
    texts = []
    for _ in range(count):
        bits = int(rng.integers(1 << 32))
        x = float(np.frombuffer(struct.pack("<I", bits), np.float32)[0])
        if not np.isfinite(x):
            continue
        near = float(np.float64(x) * (1 + rng.integers(-3, 4) * 2.0**-25))  # ties between floats
        form = ["{!r}", "{:.18e}", "{:g}", "{:.8e}", "{:.17g}"][int(rng.integers(5))]
        texts += [form.format(x), form.format(near)]
    return [text for text in texts if abs(float(text)) < 1e38]


def test_a_number_is_the_nearest_double(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(DRIVER)
    command = ["gcc", "-std=c11", *WARNINGS, *QUICK, f"-I{SOURCES}", "main.c", SOURCES / "read_number.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    texts = [
        "0", "-0", "+1", "1.", ".5", "-.5e1", "007", "1e0", "1E+2", "1e-2", "100000000000000000000000", "1e38", "3e-45",
        "9007199254740993", "9007199254740991.5", "0.1", "1234567890123456789", "0.00000000000000000000000001234567890",
        "18014398509481985e3", "1e-400", "0e99999", "2.5000000000000000000000000", "1.0000000000000000000",
        *random_numbers(3000),
    ]  # fmt: skip
    done = subprocess.run(
        [tmp_path / "main"], input="\n".join(texts) + "\n", text=True, capture_output=True, check=True
    )
    for text, line in zip(texts, done.stdout.splitlines(), strict=True):
        status, value = line.split()
        assert (int(status), float.fromhex(value)) == (0, as_read(text)), text
    refused = {
        "": 1,
        "x": 1,
        "-": 1,
        ".": 1,
        "e5": 1,
        "12345678901234567891": 2,
        "1.00000000000000000001": 2,
        "1e39": 3,
    }
    done = subprocess.run(
        [tmp_path / "main"], input="\n".join(refused) + "\n", text=True, capture_output=True, check=True
    )
    assert [int(line.split()[0]) for line in done.stdout.splitlines()] == list(refused.values())


@pytest.mark.parametrize("name", GRIDS)
def test_codes_are_those_of_python(name: str, tmp_path: Path) -> None:
    params = GRIDS[name]
    low, high = (float(end) for end in params.range)
    rng = np.random.default_rng(4)
    x = rng.uniform(low - 1, high + 1, (30, 4, 5)).astype(np.float32)
    middles = (np.arange(params.type.qmin, params.type.qmin + 20) + 0.5 - int(params.zero_point)) * params.scale
    x[0] = middles.reshape(4, 5)  # ties
    x[1].flat[:4] = [0, -0.0, 3e38, -3e38]
    program = identity_program((1, 4, 5), params)
    main = build_application(program, open_data(x), tmp_path / "c", NumberOutput())
    files = []
    for i, sample in enumerate(x):
        files.append(tmp_path / f"{i}.csv")
        np.savetxt(files[-1], sample, fmt=["%.18e", "%.17g", "%.9g"][i % 3], delimiter=[",", " ", ";", "\t"][i % 4])
    status, out, err = run_application(main, *files)
    assert (status, err) == (0, "")
    for file, sample, codes in zip(files, x, printed_numbers(out, params, (4, 5)), strict=True):
        np.testing.assert_array_equal(codes, params.quantize(sample), err_msg=file.name)


def test_the_example_is_the_first_sample(tmp_path: Path) -> None:
    params = GRIDS["int8"]
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32) * 5
    main = build_application(identity_program((1, 6), params), open_data(x), tmp_path / "c", ClassOutput())
    _, out, _ = run_application(main, "example.csv")
    want = expected_classes(params.quantize(x[:1]), params, [f"class {i}" for i in range(6)], 3)
    assert out.splitlines() == ["example.csv", *want]


def test_plain_integers_are_read_as_they_are(tmp_path: Path) -> None:
    program = single_operator_program(Clamp(-100, 100), (np.zeros((1, 4), np.int8),))
    main = build_application(program, open_data(np.zeros((1, 4), np.float32)), tmp_path / "c", NumberOutput())
    texts = {
        "a": ("1, -7\n99 0", (0, "1,-7,99,0")),
        "b": ("1e1 -128 127 0.0", (0, "10,-100,100,0")),
        "c": ("1 2 128 4", (1, "number 3: expected an integer from -128 to 127")),
        "d": ("1 2.5 1 4", (1, "number 2: expected an integer from -128 to 127")),
    }
    for name, (text, (want, answer)) in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
        status, out, err = run_application(main, tmp_path / f"{name}.csv")
        assert status == want
        assert answer in (err if want else out)


BAD = {
    "empty": ("", "expected 6 numbers, got 0"),
    "few": ("1,2,3", "expected 6 numbers, got 3"),
    "many": ("1 2 3 4 5 6 7 8", "expected 6 numbers, got 8"),
    "text": ("1,2,three,4,5,6", "number 3: expected a decimal number; separate numbers by commas or white space"),
    "unit": ("1,2,3m,4,5,6", "number 3: expected a decimal number; separate numbers by commas or white space"),
    "hex": ("0x10,2,3,4,5,6", "number 1: expected a decimal number"),
    "nan": ("1,2,3,4,nan,6", "number 5: expected a decimal number"),
    "inf": ("inf,2,3,4,5,6", "number 1: expected a decimal number"),
    "large": ("1,1e39,3,4,5,6", "number 2: expected a number below 3.4e38"),
    "larger": ("1,3.5e38,3,4,5,6", "number 2: expected a number below 3.4e38"),
    "long": ("1,1.00000000000000000001,3,4,5,6", "number 2: expected at most 19 significant digits"),
    "binary": ("\x00\x01\x02", "number 1: expected a decimal number"),
}


@pytest.fixture(scope="module")
def checked_main(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the sanitizers of the compiler, for 6 numbers."""
    data = open_data(np.zeros((1, 6), np.float32))
    folder = tmp_path_factory.mktemp("checked")
    return build_application(identity_program((1, 6), GRIDS["int8"]), data, folder, NumberOutput(), SANITIZE)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_message_and_status_1(case: str, checked_main: Path, tmp_path: Path) -> None:
    content, message = BAD[case]
    (tmp_path / "bad.csv").write_text(content)
    status, out, err = run_application(checked_main, tmp_path / "bad.csv")
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {tmp_path / 'bad.csv'}: {message}")
    assert len(err.splitlines()) == 1


def test_damaged_numbers_never_reach_beyond_memory(checked_main: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    letters = list(b"0123456789.-+eE,; \n\x00\xff")
    files = []
    for i in range(300):
        files.append(tmp_path / f"{i}.csv")
        files[-1].write_bytes(bytes(rng.choice(letters, int(rng.integers(0, 80))).astype(np.uint8)))
    files.append(tmp_path / "digits.csv")
    files[-1].write_text("0" * 100000 + "." + "0" * 100000 + "1e-99999,1e" + "9" * 1000 + ",-0,1,2,3")
    status, out, err = run_application(checked_main, *files)
    assert status == 1
    assert all(line.startswith("error: ") for line in err.splitlines()), err
    assert len(err.splitlines()) + len(out.splitlines()) // 2 == len(files)
