"""Code for several x86 processors in one folder: one choice at run time, the same integers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.nets import separable_network

import intaglio as ig
from intaglio.codegen.build import generate, plan, write
from intaglio.codegen.machine import MACHINES, family_of_host, host
from intaglio.number import UINT8, Rule

needs_x86 = pytest.mark.skipif(family_of_host() != "x86" or shutil.which("gcc") is None, reason="needs gcc on x86")
CALLER = """
#include "model.h"
#include <stdio.h>
int main(void)
{{
    static _Alignas(MODEL_ALIGNMENT) unsigned char arena[MODEL_ARENA_BYTES + 1];
    static unsigned char in[1 << 16], out[1 << 16];
    const void *const inputs[] = {{in}};
    void *const outputs[] = {{out}};
    printf("%d %d %d\\n", model_run_on(NULL, inputs, outputs, arena, {bytes}),
           model_run_on(NULL, inputs, outputs, NULL, MODEL_ARENA_BYTES),
           model_run_on(NULL, inputs, outputs, arena + 1, MODEL_ARENA_BYTES));
    return 0;
}}
"""


@needs_x86
def test_the_best_variant_runs_and_gives_the_same_integers(tmp_path: Path) -> None:
    program = separable_network(UINT8, Rule.HALF_UP, weight_zero_point=9)
    info = program.tensors[program.inputs[0]]
    x = np.random.default_rng(0).integers(0, 256, (3, *info.shape[1:]), dtype=np.uint8)
    native = ig.compile(program, "x86-64", tmp_path, threads=2)
    np.testing.assert_array_equal(native.run_int(x), program.run_int(x))
    assert native.machine == host()


def test_variants_are_ordered_best_first_and_the_last_runs_anywhere() -> None:
    program = separable_network(UINT8, Rule.HALF_UP, weight_zero_point=9)
    files = generate(program, MACHINES["x86-64"])
    order = re.findall(r"status = model_(\w+)_run_on", files["model.c"])
    assert order == ["avx512vnni", "avx512", "avxvnni", "avx2", "portable"]
    assert "cpu_features" in files["model_avx2.c"]
    assert "cpu_features" not in files["model_portable.c"]
    model = plan(program, MACHINES["x86-64"])
    arena = int(re.search(r"ARENA_BYTES (\d+)", files["model.h"])[1])
    assert arena == max(variant.arena.nbytes for variant in model.variants)


@needs_x86
@pytest.mark.parametrize(("bytes", "status"), [("MODEL_ARENA_BYTES", 0), ("MODEL_ARENA_BYTES - 1", 3)])
def test_bad_arenas_are_refused_before_a_variant_is_chosen(bytes: str, status: int, tmp_path: Path) -> None:
    machine = MACHINES["x86-64"]
    files = generate(separable_network(UINT8, Rule.HALF_UP, weight_zero_point=9), machine)
    write({**files, "main.c": CALLER.format(bytes=bytes)}, tmp_path)
    subprocess.run(
        ["gcc", "-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", *machine.sources("model"), "main.c", "-o", "main"],
        cwd=tmp_path,
        check=True,
    )
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(status), "1", "2"]
