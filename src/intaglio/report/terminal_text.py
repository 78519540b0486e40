"""Text for a terminal: sentences folded to lines, definitions of terms, and the commands to run next."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

WIDTH = 99
"""Longest line that a command prints, in characters, on a terminal that is as wide."""

SQNR = (
    "SQNR: signal-to-quantization-noise ratio, how far a value is above the error of its rounding. 20 dB: noise of "
    "10 %, 40 dB: of 1 %; more is better."
)
HELD_BACK = "Held-back samples: samples that a step does not learn from, and on which it is judged."


def line_width() -> int:
    """Return the longest line: the terminal's width, at most `WIDTH`; `WIDTH` where there is no terminal."""
    return max(40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def folded(text: str, first: str = "", rest: str | None = None, width: int | None = None) -> str:
    """Break a text at its spaces into lines.

    Args:
        text: one paragraph.
        first: beginning of the first line, such as `- `.
        rest: beginning of the other lines; None: spaces below `first`.
        width: longest line; None: see `line_width`.
    """
    return textwrap.fill(
        text,
        line_width() if width is None else width,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def command(*words: str | Path) -> str:
    """Join the words of a command, quoted for a shell where they need it."""
    return shlex.join(map(str, words))


def next_steps(steps: Iterable[tuple[str, str]]) -> str:
    """Format what to do next: (command, purpose), one command a line, never folded, so that it can be copied.

    A purpose stands beside its command where the line has room, else in a line above it.
    """
    lines: list[str] = ["next:"]
    rows: Sequence[tuple[str, str]] = list(steps)
    column = max((len(line) for line, _ in rows), default=0)
    beside = all(2 + column + 4 + len(purpose) <= line_width() for _, purpose in rows)
    for line, purpose in rows:
        lines += [f"  {line:<{column}}  # {purpose}"] if beside else [folded(purpose, "  # ", "  # "), f"  {line}"]
    return "\n".join(lines)
