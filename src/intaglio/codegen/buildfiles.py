"""Generate `Makefile` and `CMakeLists.txt` of a folder."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from intaglio.codegen.firmware import board_defines, board_of, emulator_arguments, link_arguments
from intaglio.codegen.machine import Machine
from intaglio.codegen.toolchain import OPTIMIZE, OPTIMIZE_BARE, STANDARD

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def makefile(machine: Machine, prefix: str, compiler: Sequence[str], runner: Sequence[str]) -> str:
    """Generate the Makefile: `make` builds the self-test, `make test` runs it, `make CC=...` uses another compiler."""
    board = board_of(machine)
    flags = (STANDARD, *(OPTIMIZE_BARE if board else OPTIMIZE))
    defines = board_defines(board) if board else ()
    objects = [
        *(source.replace(".c", ".o") for source in machine.sources(prefix)),
        "selftest.o",
        *(["board.o"] if board else []),
    ]
    link = link_arguments(".") if board else ()
    run = shlex.join(emulator_arguments(board)) + " ./selftest" if board else shlex.join((*runner, "./selftest"))
    return f"""# Written by Intaglio for {machine.name}.
ifeq ($(origin CC),default)
CC = {shlex.join(compiler)}
endif
CFLAGS ?= {shlex.join(flags)}
MACHINE = {shlex.join(machine.flags)}
WARNINGS = {shlex.join(WARNINGS)}

selftest: {" ".join(objects)}{" board.ld" if board else ""}
	$(CC) $(CFLAGS) $(MACHINE) $(LDFLAGS) -o $@ {" ".join(objects)}{" " + shlex.join(link) if link else ""}

%.o: %.c {prefix}.h
	$(CC) $(CFLAGS) $(MACHINE) $(WARNINGS){" " + shlex.join(defines) if defines else ""} -c -o $@ $<

test: selftest
	{run}

clean:
	rm -f selftest {" ".join(objects)}

.PHONY: test clean
"""


def cmake(machine: Machine, prefix: str) -> str:
    """Generate the CMake file: a library for the user's project, and the self-test as a CMake test."""
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
    return "\n".join(lines) + "\n"
