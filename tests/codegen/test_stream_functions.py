"""`model_reset` and `model_step`: a stream in C gives the integers of the reference's stream."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.programs import make_accumulator

import intaglio as ig
from intaglio.codegen.build import generate, write
from intaglio.codegen.emulate import SelfTestResult
from intaglio.codegen.machine import MACHINES
from intaglio.codegen.package import build, package
from intaglio.codegen.toolchain import find_compiler
from intaglio.errors import CompileError, UsageError
from intaglio.number import INT16, UINT8
from intaglio.program import Program
from intaglio.program.sampling import grid


def accumulator() -> Program:
    program = make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001))
    return program.with_states({"state": "state_out"}, {"state": [[0.5, -0.25, 0.0]]})


def test_a_long_stream_of_the_compiled_program(tmp_path: Path, rng: np.random.Generator) -> None:
    program = accumulator()
    native = ig.compile(program, machine="portable", directory=tmp_path)
    streams = program.stream(), native.stream()
    for row in rng.integers(-128, 128, (3000, 1, 3)).astype(np.int8):
        want, got = (stream.step_int(row) for stream in streams)
        assert_bit_exact(got, want)
    with pytest.raises(UsageError, match="expected a program with states"):
        ig.compile(make_accumulator(*2 * (grid(INT16, 0.001),)), machine="portable", directory=tmp_path).stream()


@pytest.mark.parametrize("name", ["portable", "host", "x86-64", "aarch64", "cortex-m0", "cortex-m4"])
def test_the_self_test_runs_a_stream(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    machine = ig.codegen.machine.machine(name)
    try:
        compiler = find_compiler(machine, None)
    except CompileError as error:
        pytest.skip(str(error))
    x, state = rng.integers(-128, 128, (9, 3)).astype(np.int8), np.zeros((9, 3), np.int16)
    write(package(accumulator(), machine, "Net", compiler.command, (x, state)), tmp_path)
    outcome = build(tmp_path, machine, "Net", compiler).outcome
    if not isinstance(outcome, SelfTestResult):
        pytest.skip(outcome)
    assert outcome.outputs == 9 * 6 + 9 * 3
    changed = (tmp_path / "selftest.c").read_text().replace("Net_reset(&state);", "")
    (tmp_path / "selftest.c").write_text(changed)
    with pytest.raises(CompileError, match="of the stream"):
        build(tmp_path, machine, "Net", compiler)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["portable", "host", "x86-64", "aarch64", "cortex-m0", "cortex-m4"])
def test_the_self_test_passes_real_numbers(name: str, streaming: bool, tmp_path: Path) -> None:
    machine = ig.codegen.machine.machine(name)
    try:
        compiler = find_compiler(machine, None)
    except CompileError as error:
        pytest.skip(str(error))
    program = accumulator() if streaming else make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001))
    program = program.with_io_types({"x": "float32"}, {"y": "float32"})
    write(package(program, machine, "Net", compiler.command), tmp_path)
    outcome = build(tmp_path, machine, "Net", compiler).outcome
    if not isinstance(outcome, SelfTestResult):
        pytest.skip(outcome)
    samples = 4 if machine.threads else 2
    assert outcome.outputs == samples * (6 + 3 + 3 * streaming)
    text = (tmp_path / "selftest.c").read_text()
    start = text.index("0x", text.index("wanted_output"))
    last = "e" if text[start + 9] == "f" else "f"
    (tmp_path / "selftest.c").write_text(text[: start + 9] + last + text[start + 10 :])
    with pytest.raises(CompileError, match="as float"):
        build(tmp_path, machine, "Net", compiler)


def test_the_struct_keeps_two_buffers_of_each_state_and_names_follow_the_prefix() -> None:
    files = generate(accumulator(), MACHINES["portable"], "Net")
    assert "int16_t input1[2][3]; /* state, from state_out */" in files["Net.h"]
    assert "int Net_step(struct Net_state *state, const int8_t *input0, uint8_t *output0, " in files["Net.h"]
    assert "void Net_reset(struct Net_state *state)" in files["Net.c"]
    plain = generate(make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001)), MACHINES["portable"], "Net")
    assert not any("Net_reset" in text or "Net_step(" in text for text in (plain["Net.h"], plain["Net.c"]))


C_CALLS = r"""
#include "model.h"
#include <stdio.h>

static unsigned char arena[MODEL_ARENA_BYTES + MODEL_ALIGNMENT];
int main(void)
{
    struct model_state a, b;
    const int8_t x[3] = {10, 20, 30};
    uint8_t y[3], z[3];
    unsigned char *at = arena + (MODEL_ALIGNMENT - (uintptr_t)arena % MODEL_ALIGNMENT) % MODEL_ALIGNMENT;
    model_reset(&a);
    model_reset(&b);
    if (model_step(NULL, x, y, at, MODEL_ARENA_BYTES) != MODEL_NULL_POINTER)
        return 1;
    model_step(&a, x, y, at, MODEL_ARENA_BYTES);
    if (model_step(&b, NULL, z, at, MODEL_ARENA_BYTES) != MODEL_NULL_POINTER || b.current)
        return 2; /* a failed step leaves the states */
    model_step(&b, x, z, at, MODEL_ARENA_BYTES);
    for (int i = 0; i < 3; i++)
        if (y[i] != z[i] || a.input1[a.current][i] != b.input1[b.current][i])
            return 3;
    model_reset(&a);
    model_step(&a, x, z, at, MODEL_ARENA_BYTES);
    for (int i = 0; i < 3; i++)
        if (y[i] != z[i])
            return 4;
    return 0;
}
"""


def test_streams_are_independent_and_a_failed_step_changes_nothing(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    write(generate(accumulator(), MACHINES["portable"]), tmp_path)
    (tmp_path / "main.c").write_text(C_CALLS)
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "main", "main.c", "model.c"],
        cwd=tmp_path,
        check=True,
    )
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0
