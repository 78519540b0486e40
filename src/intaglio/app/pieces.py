"""The pieces that a C application is put together from: one for the input, one for the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).parent / "sources"


@dataclass(frozen=True)
class Piece:
    """Part of an application that reads the input or shows the outputs.

    Args:
        sources: base names of its files in `sources/`, each with a `.c` and a `.h`; the last one is called.
        body: C statements of `app_prepare` or `app_show`.
        tables: C text of its constant tables.
        macros: macros of `app_settings.h`, by name.
        headers: base names of its files that have only a `.h`.
    """

    sources: tuple[str, ...]
    body: str
    tables: str = ""
    macros: Mapping[str, object] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """A file that the application can read: its suffix and its bytes."""

    suffix: str
    content: bytes


def c_string(text: str) -> str:
    """Format a C string literal; bytes outside ASCII in octal."""
    chars = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return '"' + "".join(chars) + '"'
