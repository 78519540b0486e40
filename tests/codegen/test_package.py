"""The folder that `intaglio compile` writes stands on its own: it builds by itself, tests itself, and uses no float."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program
from intaglio_tests.nets import separable_network

from intaglio.codegen.build import write
from intaglio.codegen.buildfiles import WARNINGS
from intaglio.codegen.emulate import Runner, SelfTestResult, find_runner, run_selftest
from intaglio.codegen.footprint import loaded_bytes, stack_bound
from intaglio.codegen.machine import MACHINES, host
from intaglio.codegen.package import build, package
from intaglio.codegen.selftest import random_samples, split_samples
from intaglio.codegen.text import Constants
from intaglio.codegen.toolchain import compile_executable, find_compiler
from intaglio.errors import CompileError
from intaglio.kernels.kernel import Long
from intaglio.number import INT8, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.operators.add import Add
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.sampling import grid

PORTABLE = MACHINES["portable"]
HERE = sorted({"portable", host().name})


def need(*commands: str) -> None:
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")


def run(command: Sequence[str | Path], folder: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder per machine, as written."""
    found = {}
    for name in HERE:
        found[name] = tmp_path_factory.mktemp(name)
        write(package(separable_network(weight_zero_point=5), MACHINES[name], "model", ("gcc",)), found[name])
    return found


@pytest.mark.parametrize("machine", HERE)
@pytest.mark.parametrize("cc", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_the_package_builds_without_a_warning(folders, machine, cc, level, tmp_path) -> None:
    need(cc)
    out = tmp_path / "selftest"
    run([cc, "-std=c11", level, *WARNINGS, "model.c", "selftest.c", "-o", out], folders[machine])
    assert re.fullmatch(r"20 outputs bit-exact\n", run([out], tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("machine", HERE)
def test_the_package_builds_with_the_compiler_from_pip(folders, machine, tmp_path) -> None:
    if find_spec("ziglang") is None:
        pytest.skip("needs ziglang, which is not installed")
    out = tmp_path / "selftest"
    command = [sys.executable, "-m", "ziglang", "cc", "-std=c11", "-O2", *WARNINGS, "model.c", "selftest.c", "-o", out]
    run(command, folders[machine])
    assert run([out], tmp_path) == "20 outputs bit-exact\n"


def test_makefile(folders, tmp_path) -> None:
    need("gcc", "make")
    shutil.copytree(folders["portable"], tmp_path / "m")
    assert "20 outputs bit-exact" in run(["make", "test"], tmp_path / "m")
    run(["make", "clean"], tmp_path / "m")
    assert not list((tmp_path / "m").glob("*.o"))


def test_cmake(folders, tmp_path) -> None:
    need("gcc", "cmake")
    run(["cmake", "-S", folders["portable"], "-B", tmp_path / "b"], tmp_path)
    run(["cmake", "--build", tmp_path / "b"], tmp_path)
    run(["ctest", "--test-dir", tmp_path / "b"], tmp_path)


def test_two_models_live_in_one_cpp_program(tmp_path) -> None:
    need("gcc", "g++")
    for prefix, seed in (("first", 1), ("second", 2)):
        write(package(separable_network(seed=seed), PORTABLE, prefix, ("gcc",)), tmp_path)
        run(["gcc", "-std=c11", *WARNINGS, "-c", f"{prefix}.c"], tmp_path)
    (tmp_path / "main.cpp").write_text(
        '#include "first.h"\n#include "second.h"\n'
        "int main()\n{\n"
        "    static unsigned char x[FIRST_ARENA_BYTES + SECOND_ARENA_BYTES];\n"
        "    return first_run(nullptr, nullptr, x, sizeof x) != FIRST_NULL_POINTER ||\n"
        "        second_run(nullptr, nullptr, x, sizeof x) != SECOND_NULL_POINTER;\n}\n"
    )
    run(["g++", "-std=c++17", *WARNINGS, "main.cpp", "first.o", "second.o", "-o", "both"], tmp_path)
    run([tmp_path / "both"], tmp_path)


def test_status_codes(folders, tmp_path) -> None:
    need("gcc")
    (tmp_path / "main.c").write_text(
        '#include "model.h"\n#include <string.h>\n'
        "static _Alignas(MODEL_ALIGNMENT) unsigned char arena[MODEL_ARENA_BYTES + MODEL_ALIGNMENT];\n"
        "int main(void)\n{\n"
        "    static uint8_t x[363], y[5], zeros[5];\n"
        "    return 1 * (model_run(NULL, y, arena, sizeof arena) != MODEL_NULL_POINTER) +\n"
        "        2 * (model_run(x, y, NULL, sizeof arena) != MODEL_NULL_POINTER) +\n"
        "        4 * (model_run(x, y, arena + 1, MODEL_ARENA_BYTES) != MODEL_MISALIGNED_ARENA) +\n"
        "        8 * (model_run(x, y, arena, MODEL_ARENA_BYTES - 1) != MODEL_SMALL_ARENA) +\n"
        "        16 * (memcmp(y, zeros, 5) != 0) + 32 * (model_run(x, y, arena, MODEL_ARENA_BYTES) != MODEL_OK);\n}\n"
    )
    folder = folders["portable"]
    run(["gcc", f"-I{folder}", "main.c", folder / "model.c", "-o", "main"], tmp_path)
    run([tmp_path / "main"], tmp_path)


@pytest.mark.parametrize("machine", HERE)
def test_only_memcpy_and_memset_come_from_outside_and_nothing_is_mutable(folders, machine, tmp_path) -> None:
    need("gcc", "nm")
    # without position-independence: then constants that hold addresses are as constant as the others
    run(["gcc", "-std=c11", "-O2", "-fno-pic", "-c", folders[machine] / "model.c", "-o", "model.o"], tmp_path)
    symbols = [line.split() for line in run(["nm", "model.o"], tmp_path).splitlines()]
    outside = {row[-1] for row in symbols if row[-2] == "U"}
    processor = {"__cpu_model", "__cpu_features2", "__cpu_indicator_init"}  # what the compiler knows of the processor
    assert outside <= {"memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"} | (processor if machine != "portable" else set())
    assert not [row for row in symbols if row[-2].upper() in "DBCSG"], "mutable data"
    assert {row[-1] for row in symbols if row[-2] == "T"} == {"model_run", "model_run_on"}


@pytest.mark.parametrize("machine", HERE)
def test_no_float_is_written(folders, machine) -> None:
    for path in folders[machine].rglob("*.[ch]"):
        text = re.sub(r'/\*.*?\*/|"(\\.|[^"\\])*"', "", path.read_text(), flags=re.DOTALL)
        text = re.sub(r"^#define MODEL_(IN|OUT)PUT_SCALE .*", "", text, flags=re.MULTILINE)  # which no code uses
        assert not re.search(r"PUT_SCALE\b", text), path
        assert not re.search(r"\b(float|double|malloc|calloc|free|printf)\b", text), path
        assert not re.search(r"\b\d+\.\d|\b\d+[eE]-?\d|\b\d+\.f", text), path


@pytest.mark.parametrize("output", ["expected", "status"])
def test_the_self_test_fails_on_a_wrong_result_and_on_a_small_arena(folders, output, tmp_path) -> None:
    need("gcc")
    shutil.copytree(folders["portable"], tmp_path / "m")
    source = tmp_path / "m" / "selftest.c"
    text = source.read_text()
    if output == "expected":
        source.write_text(text.replace("!= expected_output[s * 5 + i]", "!= expected_output[s * 5 + i] + (s == 2)"))
    else:
        source.write_text(text.replace("arena, sizeof arena)", "arena, 0)"))
    done = compile_executable(tmp_path / "m", PORTABLE)
    runner = find_runner(PORTABLE)
    assert isinstance(runner, Runner)
    want = r"sample 2, output\[0\]: got \d+, want \d+" if output == "expected" else "model_run: status 3"
    with pytest.raises(CompileError, match=want):
        run_selftest(done, runner)


def test_built_code_is_measured(folders, tmp_path) -> None:
    need("gcc")
    shutil.copytree(folders["portable"], tmp_path / "m")
    built = build(tmp_path / "m", PORTABLE, "model", find_compiler(PORTABLE, "gcc"))
    assert isinstance(built.outcome, SelfTestResult)
    assert built.outcome.outputs == 20
    assert built.flash is not None
    assert 1000 < built.flash < 40000
    assert built.stack is not None
    assert 32 < built.stack < 2000
    assert not list((tmp_path / "m").glob("*.ci"))


@pytest.mark.parametrize("type", [None, INT8])
@pytest.mark.parametrize("rule", Rule)
def test_portable_self_tests_of_every_rule(type, rule, tmp_path) -> None:
    need("gcc")
    arguments = () if type is None else (type,)
    if type is None and rule is Rule.SHIFT:
        pytest.skip("power-of-two grids are symmetric")
    program = separable_network(*arguments, rule=rule, weight_zero_point=0 if rule is Rule.SHIFT else -7)
    write(package(program, PORTABLE, "model", ("gcc",)), tmp_path)
    built = build(tmp_path, PORTABLE, "model", find_compiler(PORTABLE, "gcc"))
    assert isinstance(built.outcome, SelfTestResult)


def test_random_inputs_are_repeatable_and_reach_both_ends() -> None:
    program = separable_network()
    first, again = (np.concatenate([x for (x,) in random_samples(program, 8)]) for _ in range(2))
    assert_bit_exact(first, again)
    assert first.min() == 0
    assert first.max() == 255


@pytest.mark.parametrize(("shape", "given"), [((6,), (6,)), ((1, 6), (3, 6)), ((2, 3), (2, 3))])
def test_a_program_without_a_batch_tests_itself(shape: tuple[int, ...], given: tuple[int, ...], tmp_path: Path) -> None:
    """Whatever axis 0 is: samples are counted only where the Program declares a size of 1 there."""
    need("gcc")
    p = grid(INT8, 0.1)
    operator = ReduceSum.from_real(p, p, axes=(), keepdims=True, rule=Rule.HALF_UP)
    program = single_operator_program(operator, (np.zeros(shape, np.int8),))
    x = np.arange(np.prod(given), dtype=np.int8).reshape(given)
    for inputs, samples in ((None, 4), ((x,), given[0] if shape[0] == 1 else 1)):
        folder = tmp_path / ("given" if inputs else "random")
        write(package(program, PORTABLE, "model", ("gcc",), inputs), folder)
        outcome = build(folder, PORTABLE, "model", find_compiler(PORTABLE)).outcome
        assert isinstance(outcome, SelfTestResult)
        assert outcome.outputs == 6 * samples


def test_samples_are_split_where_there_is_a_batch() -> None:
    program = separable_network()
    x = np.zeros((3, *program.tensors["x"].shape[1:]), np.uint8)
    assert [[part.shape for part in sample] for sample in split_samples(program, (x,))] == [[(1, 11, 11, 3)]] * 3


@pytest.mark.parametrize(
    ("shapes", "given", "count"),
    [
        (((2, 3),), ((4, 2, 3),), 4),  # a whole sample each
        (((2, 3),), ((2, 3),), 1),
        (((1, 3),), ((5, 3),), 5),
        (((1, 3), (2, 3)), ((5, 3), (2, 3)), 5),  # the second one is the same for all
        (((1, 3), (2, 3)), ((5, 3), (5, 2, 3)), 5),
        (((2, 3), (2, 3)), ((4, 2, 3), (2, 3)), 4),
        (((), ()), ((3,), ()), 3),
    ],
)
def test_given_inputs_are_split_as_they_run(
    shapes: tuple[tuple[int, ...], ...], given: tuple[tuple[int, ...], ...], count: int, rng: np.random.Generator
) -> None:
    """Each sample has the declared shapes, and its results are those of all inputs together."""
    tensors = {f"x{i}": TensorInfo(f"x{i}", shape, INT8, grid(INT8, 0.1)) for i, shape in enumerate(shapes)}
    nodes = [Node(f"n{i}", Clamp(-100, 100), (f"x{i}",), f"y{i}") for i in range(len(shapes))]
    tensors |= {f"y{i}": replace(tensors[f"x{i}"], name=f"y{i}") for i in range(len(shapes))}
    names = [tuple(f"{end}{i}" for i in range(len(shapes))) for end in "xy"]
    program = Program(nodes, tensors, {}, *names, Rule.HALF_UP, "test", batched=False)
    inputs = [rng.integers(-128, 128, shape).astype(np.int8) for shape in given]
    samples = split_samples(program, inputs)
    assert [[part.shape for part in sample] for sample in samples] == [list(shapes)] * count
    for i, (whole, shape) in enumerate(zip(inputs, shapes, strict=True)):
        parts = np.stack([sample[i] for sample in samples])
        np.testing.assert_array_equal(parts, np.broadcast_to(whole.reshape(-1, *shape), parts.shape))


def test_tensors_with_names_of_one_identifier_have_constants_of_their_own(tmp_path: Path) -> None:
    need("gcc")
    p = grid(INT8, 0.1)
    add = Add.from_real(p, p, p, rule=Rule.HALF_UP)
    names = ("c.1", "c_1", "c-1", "c_1_2", "c.1_2")
    tensors = {name: TensorInfo(name, (4,), INT8, p) for name in names}
    tensors |= {f"t{i}": TensorInfo(f"t{i}", (1, 4), INT8, p) for i in range(len(names) + 1)}
    constants = {name: np.arange(4, dtype=np.int8) + np.int8(i) for i, name in enumerate(names)}
    nodes = [Node(f"n{i}", add, (f"t{i}", name), f"t{i + 1}") for i, name in enumerate(names)]
    program = Program(nodes, tensors, constants, ("t0",), (f"t{len(names)}",), Rule.HALF_UP, "test")
    program.verify()
    write(package(program, PORTABLE, "model", ("gcc",)), tmp_path)
    assert isinstance(build(tmp_path, PORTABLE, "model", find_compiler(PORTABLE)).outcome, SelfTestResult)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1])
def test_a_32_bit_field_is_never_truncated(value: int) -> None:
    with pytest.raises(CompileError, match=rf"k0_length: expected an integer of 32 bits, got {value}"):
        Constants(16).struct("struct ig_lut", {"length": value}, "k0")
    constants = Constants(16)
    constants.struct("struct ig_layer_norm", {"epsilon": Long(value)}, "k0")
    assert f"INT64_C({value})" in constants.lines[0]


GRAPH = """graph: {{ title: "model.c"
node: {{ title: "model_run" label: "model_run\\nmodel.c:1:1\\n48 bytes (static)\\n0 dynamic objects" }}
node: {{ title: "model.c:step_0" label: "step_0\\nmodel.c:2:1\\n16 bytes ({kind})\\n0 dynamic objects" }}
node: {{ title: "model.c:step_1" label: "step_1\\nmodel.c:3:1\\n24 bytes (static)\\n0 dynamic objects" }}
node: {{ title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }}
node: {{ title: "memcpy" label: "__builtin_memcpy\\n<built-in>" shape : ellipse }}
edge: {{ sourcename: "model_run" targetname: "__indirect_call" label: "model.c:9:9" }}
edge: {{ sourcename: "model.c:step_0" targetname: "memcpy" label: "model.c:2:9" }}
{more}}}
"""


def test_stack_bound_follows_the_table_of_steps(tmp_path) -> None:
    path = tmp_path / "model.ci"
    path.write_text(GRAPH.format(kind="static", more=""))
    assert stack_bound(path) == 48 + 16 + 64  # step_0 and what it calls
    path.write_text(GRAPH.format(kind="dynamic", more=""))
    assert stack_bound(path) is None
    folded = 'edge: { sourcename: "model.c:step_1" targetname: "model.c:same" label: "model.c:3:9" }\n'
    path.write_text(GRAPH.format(kind="static", more=folded))
    assert stack_bound(path) is None
    circle = 'edge: { sourcename: "model.c:step_1" targetname: "model_run" label: "model.c:3:9" }\n'
    path.write_text(GRAPH.format(kind="static", more=circle))
    assert stack_bound(path) is None


def test_loaded_bytes_counts_the_sections_in_flash(tmp_path) -> None:
    need("gcc")
    (tmp_path / "a.c").write_text("const char table[1000] = {1}; char zeros[5000]; char data[10] = {1};")
    run(["gcc", "-c", "-fno-asynchronous-unwind-tables", "a.c"], tmp_path)
    assert 1010 <= (loaded_bytes(tmp_path / "a.o") or 0) < 1200
    (tmp_path / "b.o").write_bytes(b"\xcf\xfa\xed\xfe")
    assert loaded_bytes(tmp_path / "b.o") is None
