"""Generate `Makefile` and `CMakeLists.txt` of a folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from intaglio.codegen.firmware import board_defines, board_of, emulator_arguments, link_arguments
from intaglio.codegen.machine import Machine
from intaglio.codegen.toolchain import OPTIMIZE, OPTIMIZE_BARE, STANDARD

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def makefile(
    machine: Machine,
    prefix: str,
    compiler: Sequence[str],
    runner: Sequence[str],
    application: Sequence[str] = (),
    example: str = "",
) -> str:
    """Generate the Makefile: `make` builds the self-test, `make test` runs it, `make CC=...` uses another compiler.

    Args:
        machine, prefix: as for `package.package`.
        compiler: compiler command.
        runner: command that runs executables.
        application: C files of the application; then `make` also builds it, and `make run` runs it on `example`.
        example: name of a file that the application reads.
    """
    board = board_of(machine)
    flags = (STANDARD, *(OPTIMIZE_BARE if board else OPTIMIZE))
    defines = board_defines(board) if board else ()
    shared = [
        *(source.replace(".c", ".o") for source in machine.sources(prefix)),
        *(["board.o"] if board else []),
    ]
    programs = {"selftest": [*shared, "selftest.o"]}
    if application:
        programs["main"] = [*shared, *(source.replace(".c", ".o") for source in application)]
    link = link_arguments(".") if board else ("-lm",) if application else ()
    command = (*emulator_arguments(board),) if board else tuple(runner)
    rules = "".join(
        f"""
{name}: {" ".join(objects)}{" board.ld" if board else ""}
	$(CC) $(CFLAGS) $(MACHINE) $(LDFLAGS) -o $@ {" ".join(objects)}{" " + shlex.join(link) if link else ""}
"""
        for name, objects in programs.items()
    )
    if application and board:
        rules += _COMPILED_INPUT
    if application:
        rules += f"""
run: main
	{shlex.join((*command, "./main"))}{"" if board else " $(INPUT_FILE)"}
"""
    return f"""# Written by Intaglio for {machine.name}.
ifeq ($(origin CC),default)
CC = {shlex.join(compiler)}
endif
CFLAGS ?= {shlex.join(flags)}
MACHINE = {shlex.join(machine.flags)}
WARNINGS = {shlex.join(WARNINGS)}
{f"INPUT = {example}" + _INPUT_FILE if application else ""}
all: {" ".join(programs)}
{rules}
%.o: %.c {prefix}.h{" app_settings.h" if application else ""}
	$(CC) $(CFLAGS) $(MACHINE) $(WARNINGS){" " + shlex.join(defines) if defines else ""} -c -o $@ $<

test: selftest
	{shlex.join((*command, "./selftest"))}

clean:
	rm -f {" ".join(programs)} {" ".join(dict.fromkeys(o for objects in programs.values() for o in objects))}

.PHONY: all clean test{" run" if application else ""}{" FORCE" if application and board else ""}
"""


_INPUT_FILE = """
# a path from this folder, or from the folder in which make was called (make -C); several where no file has this name
ONE_FILE = $(shell for file in "$(INPUT)" "$(PWD)/$(INPUT)"; do test -f "$$file" && echo "$$file" && break; done)
FILES = $(foreach file,$(INPUT),$(firstword $(wildcard $(file) $(PWD)/$(file)) $(file)))
INPUT_FILE = $(if $(ONE_FILE),"$(ONE_FILE)",$(FILES))
"""

# input.o is compiled each time: INPUT may name another file than the last time.
_COMPILED_INPUT = """
input.o: input.c FORCE
	$(if $(ONE_FILE),,$(error INPUT: expected a file, got $(INPUT), which is neither in $(CURDIR) nor in \
$(PWD); check the path))
	$(CC) $(CFLAGS) $(MACHINE) $(WARNINGS) -DAPP_INPUT='"$(ONE_FILE)"' -c -o $@ $<
"""


def cmake(machine: Machine, prefix: str, application: Sequence[str] = ()) -> str:
    """Generate the CMake file: a library for the user's project, the self-test as a CMake test, and the application."""
    board = board_of(machine)
    flags = " ".join(machine.flags)
    lines = [
        f"# Written by Intaglio for {machine.name}.",
        "cmake_minimum_required(VERSION 3.13)",
        *(
            ["set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # there is no system to link a trial against"]
            * bool(board)
        ),
        f"project({prefix} C)",
        "if(NOT CMAKE_BUILD_TYPE)",
        "  set(CMAKE_BUILD_TYPE Release)",
        "endif()",
        f"add_library({prefix} STATIC {' '.join(machine.sources(prefix))})",
        f"set_property(TARGET {prefix} PROPERTY C_STANDARD 11)",
        f"target_include_directories({prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})",
        *([f"target_compile_options({prefix} PUBLIC {flags})"] if flags else []),
    ]
    if not board:
        lines += [
            "enable_testing()",
            "add_executable(selftest selftest.c)",
            "set_property(TARGET selftest PROPERTY C_STANDARD 11)",
            f"target_link_libraries(selftest {prefix})",
            "add_test(NAME selftest COMMAND selftest)",
        ]
        if application:
            lines += [
                f"add_executable(main {' '.join(application)})",
                "set_property(TARGET main PROPERTY C_STANDARD 11)",
                "target_compile_options(main PRIVATE -ffp-contract=off)",
                f"target_link_libraries(main {prefix} m)",
            ]
    return "\n".join(lines) + "\n"
