"""Random Programs as C, under sanitizers: views, in-place steps, and rows that follow each other through the arena."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from intaglio_tests.plans import Builder, conv, random_program

from intaglio.codegen.build import model_files, plan, write
from intaglio.codegen.machine import MACHINES, Machine
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.reshape import Reshape

BARE = [MACHINES[name] for name in ("cortex-m0", "cortex-m4")]  # their kernels are C that runs anywhere
HOSTED = Machine("hosted", alignment=64)
SAMPLES = 3
FLAGS = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover"]


def run_c(program, machine, folder, seed):
    """Compile and run; (outputs got, outputs wanted, the model). Inputs and outputs lie in the arena if it has room."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    model = plan(program, machine)
    write(model_files(model), folder)
    rng = np.random.default_rng(seed)
    infos = [program.tensors[name] for name in program.inputs]
    x = [rng.integers(i.type.qmin, i.type.qmax + 1, (SAMPLES, *i.shape[1:])).astype(i.type.dtype) for i in infos]
    wanted = program.run_int(*x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    (folder / "main.c").write_text(main_text(model, [a[0].nbytes for a in x], [a[0].nbytes for a in wanted]))
    sources = [str(folder / name) for name in ("model.c", "main.c")]
    done = subprocess.run(["gcc", *FLAGS, *sources, "-o", str(folder / "run")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    data = b"".join(a[s].tobytes() for s in range(SAMPLES) for a in x)
    ran = subprocess.run([str(folder / "run")], input=data, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()[:2000]
    got, at = [np.empty_like(w) for w in wanted], 0
    for s in range(SAMPLES):
        for y in got:
            y[s] = np.frombuffer(ran.stdout, y.dtype, y[s].size, at).reshape(y[s].shape)
            at += y[s].nbytes
    return got, wanted, model


def main_text(model, input_sizes, output_sizes):
    """A program that runs samples from its standard input."""
    names, lines, pointers = {}, [], {}
    for kind, sizes in (("input", input_sizes), ("output", output_sizes)):
        names[kind] = [kind if len(sizes) == 1 else f"{kind}{i}" for i in range(len(sizes))]
        for name, size in zip(names[kind], sizes, strict=True):
            macro = f"MODEL_{name.upper()}_OFFSET"
            pointers[name] = f"arena + {macro}" if not model.machine.threads else f"own_{name}"
            if model.machine.threads:
                lines.append(f"static _Alignas(8) unsigned char own_{name}[{size}];")
    reads = "\n".join(
        f"        if (fread({pointers[n]}, 1, {s}, stdin) != {s})\n            return 2;"
        for n, s in zip(names["input"], input_sizes, strict=True)
    )
    writes = "\n".join(
        f"        fwrite({pointers[n]}, 1, {s}, stdout);" for n, s in zip(names["output"], output_sizes, strict=True)
    )
    arguments = ", ".join(f"(void *)({pointers[n]})" for n in (*names["input"], *names["output"]))
    return f"""#include "model.h"
#include <stdio.h>
#include <string.h>
static _Alignas(MODEL_ALIGNMENT) unsigned char arena[MODEL_ARENA_BYTES];
{chr(10).join(lines)}
int main(void)
{{
    for (int s = 0; s < {SAMPLES}; s++) {{
        memset(arena, 0xa5, sizeof arena);
{reads}
        if (model_run({arguments}, arena, sizeof arena))
            return 3;
{writes}
    }}
    return 0;
}}
"""


@pytest.mark.parametrize("machine", [*BARE, HOSTED], ids=lambda m: m.name)
@pytest.mark.parametrize("seed", [3, 11, 20, 31])
def test_random_programs_keep_their_integers(machine, seed, tmp_path):
    got, wanted, _ = run_c(random_program(seed), machine, tmp_path, seed)
    for y, want in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(y, want, err_msg=f"seed {seed}")


@pytest.mark.parametrize("machine", BARE, ids=lambda m: m.name)
def test_row_pipelines_in_both_directions_share_one_arena(machine, tmp_path):
    """Windows of several sizes and strides, outputs narrower and wider than inputs."""
    rng = np.random.default_rng(5)
    b = Builder((1, 12, 9, 4))
    x = b.node(conv(rng, b.tensors["x0"], 3, 4, pad=1), "x0")
    x = b.node(conv(rng, b.tensors[x], 3, 4, pad=1, groups=4), x)
    x = b.node(conv(rng, b.tensors[x], 1, 8), x)
    x = b.node(conv(rng, b.tensors[x], 3, 8, pad=1, groups=8), x)
    x = b.node(MaxPool2d((3, 3), (2, 2), (1, 1), (1, 1, 1, 1), -128, 127), x)
    x = b.node(conv(rng, b.tensors[x], 3, 8, stride=2, pad=1), x)
    got, wanted, model = run_c(b.build(b.node(conv(rng, b.tensors[x], 1, 3), x)), machine, tmp_path, 5)
    np.testing.assert_array_equal(got[0], wanted[0])
    assert 2 <= len(model.arena.backward) <= 5
    sizes = sorted((b.nbytes for b in model.arena.buffers), reverse=True)
    assert model.arena.nbytes < 0.7 * (sizes[0] + sizes[1])


def test_outputs_that_are_views_parts_and_inputs(tmp_path):
    b = Builder((1, 4, 4, 2), (1, 2, 4, 2))
    low, high = b.node(Clamp(-128, 3), "x0"), b.node(Clamp(-7, 127), "x1")
    joined = b.node(Concat(1), low, high)
    flat = b.node(Reshape((-1, 48)), joined)
    program = b.build(flat, "x1", b.node(Reshape((-1, 16)), "x1"), b.node(Clamp(0, 9), low))
    for machine in (*BARE, HOSTED):
        folder = tmp_path / machine.name
        got, wanted, model = run_c(program, machine, folder, 1)
        for y, want in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(y, want)
        assert len(model.steps) == 5  # no step for the concatenation and its reshape
