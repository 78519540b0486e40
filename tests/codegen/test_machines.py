"""The same integers on processors that are not this one: Arm under emulation, with and without an operating system."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import single_operator_program
from intaglio_tests.nets import separable_network
from intaglio_tests.trained_networks import NETWORKS, lowered

import intaglio as ig
from intaglio.codegen.build import write
from intaglio.codegen.emulate import Runner as EmulatorRunner
from intaglio.codegen.emulate import SelfTestResult, run_selftest
from intaglio.codegen.firmware import (
    BARE_SOURCES,
    BOARDS,
    MICROBIT,
    board_defines,
    board_files,
    emulator_arguments,
    link_arguments,
)
from intaglio.codegen.machine import MACHINES, Machine
from intaglio.codegen.package import Built, build, package
from intaglio.codegen.toolchain import Compiler, compile_executable, find_compiler
from intaglio.number import INT8, UINT8, IntType, Rule
from intaglio.program import Program

CORTEX = ("cortex-m0", "cortex-m4", "cortex-m7")
KINDS = [(UINT8, Rule.HALF_UP, 9), (INT8, Rule.HALF_UP, 0), (INT8, Rule.TFLITE, 0), (INT8, Rule.SHIFT, 0)]
STACK = 1024  # bytes that any of these networks may need; a board keeps 16 KB


def need_cortex() -> None:
    for command in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")


def need_aarch64(*compilers: str) -> None:
    if shutil.which("qemu-aarch64-static") is None and shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-aarch64, which is not installed")
    for command in compilers:
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}, which is not installed")


def built(program: Program, machine: Machine, folder: Path, compiler: Compiler | None = None, inputs=None) -> Built:
    write(package(program, machine, "model", ("cc",), inputs), folder)
    return build(folder, machine, "model", compiler or find_compiler(machine))


def assert_measured(result: Built) -> None:
    assert isinstance(result.outcome, SelfTestResult), result.outcome
    assert result.outcome.instructions
    assert result.outcome.stack
    assert result.stack
    assert result.outcome.stack <= result.stack <= STACK


def real_network(name: str, folder: Path, target: str = "cpu-int8") -> tuple[Program, np.ndarray]:
    """A trained network's Program and codes of two real inputs."""
    program = lowered(name, target, folder)
    return program, program.quantize_inputs(NETWORKS[name].inputs(folder, 2))[0]


@pytest.mark.parametrize("machine", CORTEX)
@pytest.mark.parametrize(("type", "rule", "zero_point"), KINDS, ids=lambda v: str(getattr(v, "value", v)))
def test_self_test_on_cortex_m(machine: str, type: IntType, rule: Rule, zero_point: int, tmp_path: Path) -> None:
    need_cortex()
    program = separable_network(type, rule, weight_zero_point=zero_point)
    assert_measured(built(program, MACHINES[machine], tmp_path))


@pytest.mark.parametrize("machine", ["cortex-m0", "cortex-m4"])
@pytest.mark.parametrize("name", ["resnet8", "autoencoder"])
def test_trained_network_on_cortex_m(machine: str, name: str, tmp_path: Path, shared_data: Path) -> None:
    need_cortex()
    program, codes = real_network(name, shared_data)
    assert_measured(built(program, MACHINES[machine], tmp_path, inputs=(codes,)))


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu-int8", "mcu-int8", "tflite-int8"])
@pytest.mark.parametrize("name", ["resnet20", "mobilenetv2", "mobilenet_v2_flowers", "mobilenet_v1_imagenet", "vww"])
def test_larger_trained_networks_on_every_arm(name: str, target: str, tmp_path: Path, shared_data: Path) -> None:
    need_cortex()
    need_aarch64("aarch64-linux-gnu-gcc")
    program, codes = real_network(name, shared_data, target)
    for machine in ("cortex-m0", "cortex-m4", "aarch64", "aarch64-dotprod"):
        outcome = built(program, MACHINES[machine], tmp_path / machine, inputs=(codes,)).outcome
        assert isinstance(outcome, SelfTestResult), (machine, outcome)


@pytest.mark.parametrize("name", ["resnet8", "autoencoder"])
def test_trained_network_on_aarch64(name: str, tmp_path: Path, shared_data: Path) -> None:
    need_aarch64("aarch64-linux-gnu-gcc")
    program, codes = real_network(name, shared_data)
    assert isinstance(built(program, MACHINES["aarch64"], tmp_path, inputs=(codes,)).outcome, SelfTestResult)


@pytest.mark.parametrize("machine", ["aarch64", "aarch64-dotprod"])
@pytest.mark.parametrize(("type", "rule", "zero_point"), KINDS[:3], ids=lambda v: str(getattr(v, "value", v)))
def test_self_test_on_aarch64(machine: str, type: IntType, rule: Rule, zero_point: int, tmp_path: Path) -> None:
    need_aarch64("aarch64-linux-gnu-gcc")
    program = separable_network(type, rule, weight_zero_point=zero_point)
    assert isinstance(built(program, MACHINES[machine], tmp_path).outcome, SelfTestResult)


@pytest.mark.slow  # the first call of this compiler builds a C library, for about 40 s
@pytest.mark.parametrize("machine", ["aarch64", "aarch64-dotprod"])
def test_the_compiler_from_pip_cross_compiles(machine: str, tmp_path: Path) -> None:
    need_aarch64()
    if find_spec("ziglang") is None:
        pytest.skip("needs ziglang, which is not installed")
    compiler = find_compiler(MACHINES[machine], f"{sys.executable} -m ziglang cc -target aarch64-linux-musl")
    assert isinstance(built(separable_network(), MACHINES[machine], tmp_path, compiler).outcome, SelfTestResult)


def disassembly(folder: Path) -> str:
    done = subprocess.run(
        ["arm-none-eabi-objdump", "-d", "--no-show-raw-insn", folder / "selftest"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def symbols(folder: Path) -> set[str]:
    done = subprocess.run(
        ["arm-none-eabi-nm", "--defined-only", folder / "selftest"], capture_output=True, text=True, check=True
    )
    return {line.split()[-1] for line in done.stdout.splitlines()}


FLOAT_HELPER = re.compile(r"__aeabi_([fd]|.*2[fd]$|[ldui]+2)|__(add|sub|mul|div|eq|float|fix|extend|trunc)[a-z]*[sd]f")
LONG_DIVISION = re.compile(r"__aeabi_u?ldivmod|__u?(div|mod|divmod)di")
FLOAT_INSTRUCTION = re.compile(r"\tv[a-z]+(\.[a-z0-9]+)*\t|\tf(ld|st|add|mul|sub|div)[sdm]\t")


def assert_no_float_nor_long_division(folder: Path) -> None:
    text, names = disassembly(folder), symbols(folder)
    assert "model_run" in names
    assert len(text) > 5000, "the disassembly is there"
    assert not [name for name in names if FLOAT_HELPER.search(name)]
    assert not [name for name in names if LONG_DIVISION.search(name)]
    assert not FLOAT_INSTRUCTION.findall(text)


@pytest.mark.parametrize(("type", "rule", "zero_point"), KINDS, ids=lambda v: str(getattr(v, "value", v)))
def test_the_cortex_m0_build_has_no_float_and_no_long_division(type, rule, zero_point, tmp_path) -> None:
    need_cortex()
    built(separable_network(type, rule, weight_zero_point=zero_point), MACHINES["cortex-m0"], tmp_path)
    assert_no_float_nor_long_division(tmp_path)


def test_a_trained_network_for_cortex_m0_has_no_float_and_no_long_division(tmp_path, shared_data) -> None:
    need_cortex()
    program, codes = real_network("resnet8", shared_data)
    built(program, MACHINES["cortex-m0"], tmp_path, inputs=(codes,))
    assert_no_float_nor_long_division(tmp_path)


def test_the_search_for_floats_finds_them(tmp_path: Path) -> None:
    need_cortex()
    text = "float f(float a, double b) { return a * 3 + (float)b; }\n"
    text += "long long g(long long a, long long b) { return a / b; }"
    (tmp_path / "f.c").write_text(f"{text}\nint model_run(void) {{ return (int)f(1, 2) + (int)g(3, 4); }}")
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-O0", "-nostartfiles", "-Wl,-e,model_run"]
    subprocess.run([*command, tmp_path / "f.c", "-o", tmp_path / "selftest", "-lgcc"], check=True)
    assert {"__aeabi_fmul", "__aeabi_d2f"} <= {n for n in symbols(tmp_path) if FLOAT_HELPER.search(n)}
    assert "__aeabi_ldivmod" in {n for n in symbols(tmp_path) if LONG_DIVISION.search(n)}
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-O0"]
    subprocess.run([*command, "-nostartfiles", "-Wl,-e,f", tmp_path / "f.c", "-o", tmp_path / "selftest"], check=True)
    assert FLOAT_INSTRUCTION.findall(disassembly(tmp_path))


def test_a_small_network_fits_a_real_cortex_m0(tmp_path: Path) -> None:
    """The micro:bit: a Cortex-M0 with 256 KB of flash and 16 KB of RAM, as the emulator has it."""
    need_cortex()
    machine = MACHINES["cortex-m0"]
    write({**package(separable_network(), machine, "model", ("cc",)), **board_files(MICROBIT)}, tmp_path)
    flags = ("-O2", *board_defines(MICROBIT))
    sources = ("model.c", "selftest.c", *BARE_SOURCES)
    image = compile_executable(tmp_path, machine, sources=sources, flags=flags, libraries=link_arguments(tmp_path))
    outcome = run_selftest(image, EmulatorRunner(emulator_arguments(MICROBIT), "emulated"))
    assert outcome.stack


@pytest.mark.parametrize("machine", CORTEX)
@pytest.mark.parametrize("count", [1, 1000, 1_000_000])
def test_instructions_are_counted(machine: str, count: int, tmp_path: Path) -> None:
    """A loop of two instructions, so many times; a few more come from the calls around it."""
    need_cortex()
    (tmp_path / "selftest.c").write_text(
        '#include "board.h"\n'
        "static void print(uint32_t n)\n{\n    char text[12], *at = text + 11;\n    *at = 0;\n"
        "    do\n        *--at = (char)('0' + n % 10);\n    while (n /= 10);\n    board_print(at);\n}\n"
        "int main(void)\n{\n    const uint32_t start = board_ticks();\n"
        f"    uint32_t n = {count};\n"
        '    __asm__ volatile(".syntax unified\\n1: subs %0, %0, #1\\n bne 1b" : "+l"(n) : : "cc");\n'
        "    const uint32_t ticks = board_ticks() - start;\n"
        '    board_print("1 outputs bit-exact\\n");\n    print(board_instructions(ticks));\n'
        '    board_print(" instructions per inference\\n");\n    return 0;\n}\n'
    )
    board = BOARDS[machine]
    write(board_files(board), tmp_path)
    image = compile_executable(
        tmp_path, MACHINES[machine], sources=("selftest.c", *BARE_SOURCES), flags=("-O2", *board_defines(board)),
        libraries=link_arguments(tmp_path),
    )  # fmt: skip
    outcome = run_selftest(image, EmulatorRunner(emulator_arguments(board), "emulated"))
    assert outcome.instructions is not None
    assert 2 * count <= outcome.instructions <= 2 * count + 40


def test_a_fault_on_a_board_is_reported_as_an_error(tmp_path: Path) -> None:
    need_cortex()
    (tmp_path / "selftest.c").write_text(
        "int main(void)\n{\n    return *(volatile int *)0xe0000000u + *(volatile int *)0x70000000u;\n}\n"
    )
    board = BOARDS["cortex-m4"]
    write(board_files(board), tmp_path)
    image = compile_executable(
        tmp_path, MACHINES["cortex-m4"], sources=("selftest.c", *BARE_SOURCES), flags=("-O2", *board_defines(board)),
        libraries=link_arguments(tmp_path),
    )  # fmt: skip
    with pytest.raises(ig.errors.CompileError, match="fault: the processor stopped"):
        run_selftest(image, EmulatorRunner(emulator_arguments(board), "emulated"))


def test_a_network_that_does_not_fit_the_board_is_refused(tmp_path: Path) -> None:
    need_cortex()
    from intaglio.program.operators.clamp import Clamp

    program = single_operator_program(Clamp(-3, 5), (np.zeros((1, 4_300_000), np.int8),))
    with pytest.raises(ig.errors.CompileError, match="overflowed|fit"):
        built(program, MACHINES["cortex-m4"], tmp_path)
