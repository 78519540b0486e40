"""`intaglio compile`: a folder that is whole or not there, built and tested where that can be done."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.programs import make_accumulator

from intaglio.cli import main
from intaglio.codegen import toolchain
from intaglio.codegen.machine import MACHINES, family_of_host, missing
from intaglio.number import INT16, UINT8
from intaglio.program.sampling import grid


def need(*commands: str) -> None:
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")


def listing(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def compile_ok(capsys, *argv: object) -> str:
    assert main(["compile", *map(str, argv)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_host(made, tmp_path, capsys) -> None:
    need("gcc")
    out = compile_ok(capsys, made.program, "-o", tmp_path / "out")
    for text in ("arena: ", "bytes of flash", "on this processor: 16 outputs bit-exact", "next:\n"):
        assert text in out, text
    wanted = {"model.c", "model.h", "kernels", "selftest.c", "Makefile", "CMakeLists.txt", "selftest", "model.o"}
    assert set(listing(tmp_path / "out")) == wanted
    assert listing(tmp_path) == ["out"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~umask()
    done = subprocess.run([tmp_path / "out" / "selftest"], capture_output=True, text=True, check=True)
    assert done.stdout == "16 outputs bit-exact\n"


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_name_test_data_and_a_second_run_into_the_same_folder(made, tmp_path, capsys) -> None:
    need("gcc")
    x = np.load(made.data)["x"]
    np.save(tmp_path / "x.npy", x[:7])
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("kept")
    for _ in range(2):
        out = compile_ok(
            capsys, made.program, "--machine", "portable", "--name", "Net_2", "--test-data", tmp_path / "x.npy",
            "-o", folder,
        )  # fmt: skip
        assert "28 outputs bit-exact" in out
        assert "stack: at most" in out
        assert "Net_2_run" in out
    assert {"Net_2.c", "Net_2.h", "mine.txt"} <= set(listing(folder))
    assert listing(folder.parent) == ["out"]
    text = (folder / "selftest.c").read_text()
    assert '#include "Net_2.h"' in text


def test_no_build_needs_no_compiler(made, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    for name in ("portable", "cortex-m4", "aarch64"):
        out = compile_ok(capsys, made.program, "--machine", name, "--no-build", "-o", tmp_path / name)
        assert "\n  make -C" in out
        assert "selftest" not in listing(tmp_path / name)
        assert {"model.c", "selftest.c"} <= set(listing(tmp_path / name))
    assert "board.ld" in listing(tmp_path / "cortex-m4")


@pytest.mark.parametrize("name", ["cortex-m0", "cortex-m4", "cortex-m7"])
def test_firmware(name, made, tmp_path, capsys) -> None:
    need("arm-none-eabi-gcc", "qemu-system-arm", "make")
    out = compile_ok(capsys, made.program, "--machine", name, "-o", tmp_path / "out")
    for text in (
        "emulated by qemu-system-arm, board mps2",
        "8 outputs bit-exact",
        "bytes used, at most",
        "instructions",
    ):
        assert text in out, text
    done = subprocess.run(
        ["make", "-B", "-C", tmp_path / "out", "test"], capture_output=True, text=True, check=False
    )  # from scratch, as a user would
    assert done.returncode == 0, done.stderr
    assert "8 outputs bit-exact" in done.stdout + done.stderr


def test_aarch64(made, tmp_path, capsys) -> None:
    need("aarch64-linux-gnu-gcc", "qemu-aarch64-static")
    out = compile_ok(capsys, made.program, "--machine", "aarch64", "-o", tmp_path / "out")
    assert "16 outputs bit-exact" in out


def test_foreign_code_is_built_but_not_run(made, tmp_path, capsys) -> None:
    need("gcc")
    lacking = [n for n, m in MACHINES.items() if m.family == family_of_host() != "" and missing(m)]
    if not lacking:
        pytest.skip("this processor has every instruction set")
    out = compile_ok(capsys, made.program, "--machine", lacking[0], "-o", tmp_path / "out")
    assert "self-test: built, not run: this processor lacks" in out


def test_states(tmp_path, capsys, fails) -> None:
    need("gcc")
    program = make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001))
    program.save(tmp_path / "sum.intaglio")
    arguments = (tmp_path / "sum.intaglio", "--machine", "portable", "-o", tmp_path / "out")
    out = compile_ok(capsys, *arguments, "--state", "state=state_out")
    assert "self-test on this processor: 36 outputs bit-exact" in out
    assert "call model_reset and model_step" in " ".join(out.split())
    assert "model_step(&state, " in (tmp_path / "out" / "selftest.c").read_text()
    for text, message in (
        ("state", "--state: expected INPUT=OUTPUT such as state=state_out, got 'state'"),
        ("state=", "--state: expected INPUT=OUTPUT"),
        ("state=y_out", "states: expected an output (y, state_out), got 'y_out'"),
    ):
        assert message in fails("compile", *arguments, "--state", text)
    assert "expected one output for 'state'" in fails("compile", *arguments, *2 * ("--state", "state=y"))


def test_pixels_as_input(made, tmp_path, capsys, fails) -> None:
    need("gcc")
    arguments = (made.program, "--machine", "portable", "-o", tmp_path / "out", "--io-dtype", "uint8")
    out = compile_ok(capsys, *arguments, "--preset", "imagenet", "--layout", "nhwc")
    assert "outputs bit-exact" in out
    header = (tmp_path / "out" / "model.h").read_text()
    assert "MODEL_INPUT_TYPE uint8_t" in " ".join(header.split())
    assert "{1, 8, 8, 3}" in header
    for more, text in (
        (["--size", "4"], "--size: expected only --mean, --std, --preset or --layout with --io-dtype"),
        (["--std", "0.001"], "of 256 values lie outside; give the mean and standard deviation"),
        (["--mean", "0.1,0.2"], "mean: expected one number, or one for each of 3 channels"),
        (["--app", made.data], "--io-dtype: expected no --app"),
    ):
        assert text in fails("compile", *arguments, *more)


BAD = [
    (["--machine", "z80"], "expected one of host, portable"),
    (["--machine", "portable", "--cc", "no-such-compiler"], "no such command"),
    (["--name", "9lives"], "--name: expected letters"),
    (["--name", "selftest"], "--name: expected letters"),
    (["--name", "a-b"], "--name: expected letters"),
    (["--test-data", "nowhere.npy"], "nowhere.npy"),
]


@pytest.mark.parametrize(("more", "text"), BAD)
def test_bad_arguments_leave_nothing(fails, made, tmp_path, more, text) -> None:
    assert text in fails("compile", made.program, "-o", tmp_path / "out", *more)
    assert listing(tmp_path) == []


def test_bad_test_data(fails, made, tmp_path) -> None:
    cases = {
        "shape": (np.zeros((2, 3, 8, 7)), "expected shape"),
        "nan": (np.full((2, 3, 8, 8), np.nan), "finite"),
        "none": (np.zeros((0, 3, 8, 8)), "at least one sample"),
        "scalar": (np.float32(3), "at least one sample"),
    }
    for name, (x, text) in cases.items():
        np.save(tmp_path / f"{name}.npy", x)
        assert text in fails("compile", made.program, "--test-data", tmp_path / f"{name}.npy", "-o", tmp_path / "out")
    assert "out" not in listing(tmp_path)


def test_damaged_and_missing_programs(fails, made, tmp_path) -> None:
    whole = made.program.read_bytes()
    (tmp_path / "cut.intaglio").write_bytes(whole[: len(whole) // 2])
    changed = bytearray(whole)
    changed[-5] ^= 1
    (tmp_path / "changed.intaglio").write_bytes(changed)
    for name in ("cut", "changed", "missing"):
        assert name in fails("compile", tmp_path / f"{name}.intaglio", "-o", tmp_path / "out")
    assert "out" not in listing(tmp_path)


def test_no_compiler(fails, made, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    text = fails("compile", made.program, "--machine", "cortex-m4", "-o", tmp_path / "out")
    assert "install gcc-arm-none-eabi" in text
    assert "--no-build" in text
    assert listing(tmp_path) == []


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_compiler_that_fails(fails, made, tmp_path) -> None:
    cc = script(tmp_path / "bin", "cc", 'echo "x.c:1: error: no" >&2; exit 1')
    text = fails("compile", made.program, "--machine", "portable", "--cc", cc, "-o", tmp_path / "out")
    assert "x.c:1: error: no; the command was:" in text
    assert listing(tmp_path) == ["bin"]


def test_a_self_test_that_fails_leaves_nothing(fails, made, tmp_path) -> None:
    """A compiler whose memset writes something else."""
    need("gcc")
    header = tmp_path / "bin" / "wrong.h"
    cc = script(tmp_path / "bin", "cc", f'exec gcc -include {header} "$@"')
    header.write_text("#include <string.h>\n#define memset(to, value, n) memset(to, (value) + 1, n)\n")
    text = fails("compile", made.program, "--machine", "portable", "--cc", cc, "-o", tmp_path / "out")
    assert "expected the reference's integers, got: sample 0, output[" in text
    assert listing(tmp_path) == ["bin"]


def test_a_folder_that_cannot_be_written(fails, made, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    assert "expected a folder" in fails("compile", made.program, "-o", tmp_path / "file")
    assert "expected a folder" in fails("compile", made.program, "-o", tmp_path / "file" / "below")
    assert listing(tmp_path) == ["file"]
