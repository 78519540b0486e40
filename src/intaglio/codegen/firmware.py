"""Boards without operating system: memory map, linking, emulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intaglio.codegen.machine import Machine

RUNTIME = Path(__file__).parent / "runtime"
ICOUNT_SHIFT = 6  # 2**6 ns per instruction are 1.6 ticks of the 25 MHz timer, so every instruction is counted
BARE_SOURCES = ("board.c",)


@dataclass(frozen=True)
class Board:
    """Emulated board.

    Args:
        name: name in the emulator.
        flash, ram: (origin, bytes).
        timer: address of a CMSDK timer at 25 MHz; 0 without one.
        stack: bytes reserved for the stack at the top of the RAM.
    """

    name: str
    flash: tuple[int, int]
    ram: tuple[int, int]
    timer: int = 0
    stack: int = 16 << 10


def _mps2(name: str) -> Board:
    return Board(name, (0, 4 << 20), (0x20000000, 4 << 20), 0x40000000)


BOARDS = {
    "cortex-m4": _mps2("mps2-an386"),
    "cortex-m7": _mps2("mps2-an500"),
    # A Cortex-M3: runs ARMv6-M code and has memory for every network.
    "cortex-m0": _mps2("mps2-an385"),
}
MICROBIT = Board("microbit", (0, 256 << 10), (0x20000000, 16 << 10), stack=2 << 10)


def board_of(machine: Machine) -> Board | None:
    """Return the board of a machine; None if the machine has an operating system."""
    return BOARDS.get(machine.name)


def board_files(board: Board) -> dict[str, str]:
    """Generate start-up code and linker script: name -> text."""
    script = (RUNTIME / "board.ld").read_text()
    for key, value in (
        ("FLASH_ORIGIN", f"0x{board.flash[0]:08x}"),
        ("FLASH_BYTES", str(board.flash[1])),
        ("RAM_ORIGIN", f"0x{board.ram[0]:08x}"),
        ("RAM_BYTES", str(board.ram[1])),
        ("STACK_BYTES", str(board.stack)),
    ):
        script = script.replace(f"@{key}@", value)
    return {
        "board.h": (RUNTIME / "board.h").read_text(),
        "board.c": (RUNTIME / "board.c").read_text(),
        "board.ld": script,
    }


def board_defines(board: Board) -> tuple[str, ...]:
    """Return the compiler arguments for `board.c` and `selftest.c`."""
    return ("-DSELFTEST_BARE", *((f"-DBOARD_TIMER=0x{board.timer:08x}",) if board.timer else ()))


def link_arguments(folder: str | Path) -> tuple[str, ...]:
    """Return the linker arguments: own start-up code, libraries of C and of the compiler."""
    return ("-nostartfiles", "-nostdlib", f"-Wl,-T,{Path(folder) / 'board.ld'}", "-lm", "-lc", "-lgcc")


def emulator_arguments(board: Board) -> tuple[str, ...]:
    """Return the command `qemu-system-arm` with its arguments before the image."""
    return (
        "qemu-system-arm", "-M", board.name, "-display", "none", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native",
        *(("-icount", f"shift={ICOUNT_SHIFT}") if board.timer else ()),
        "-kernel",
    )  # fmt: skip
