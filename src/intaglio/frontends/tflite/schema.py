"""Access to the .tflite schema: the generated classes of an installed package, and one way to read their tables.

Python's flatbuffers check nothing: an offset of a damaged file may lead anywhere. Every count is compared with the
size of the file before anything loops over it; what lies outside the file raises an error where it is read.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from intaglio.errors import ModelError

_PACKAGES = ("tflite", "ai_edge_litert.schema_py_generated")
_IDENTIFIER = b"TFL3"


@cache
def schema() -> Any:
    """Return the module with the generated classes.

    Raises:
        ModelError: no package that carries the schema is installed.
    """
    for name in _PACKAGES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ModelError(
        "reading .tflite files: expected the package tflite or ai-edge-litert, which carry the schema, got neither; "
        "install the extra: pip install 'intaglio[tflite]'"
    )


@cache
def names_of(enumeration: str) -> dict[int, str]:
    """Map the numbers of an enumeration, such as `BuiltinOperator`, to their names."""
    return {number: name for name, number in vars(getattr(schema(), enumeration)).items() if isinstance(number, int)}


def root(content: bytes, name: str) -> Any:
    """Return the model's table of a file.

    Raises:
        ModelError: it does not begin as a .tflite file.
    """
    if len(content) < 8 or content[4:8] != _IDENTIFIER:
        raise ModelError(
            f"{name}: expected a .tflite file, whose bytes 4 to 7 are TFL3, got {content[4:8]!r} in {len(content)} "
            "bytes; copy or convert the file again"
        )
    return schema().Model.GetRootAs(content, 0)


def count(found: int, content_size: int, what: str) -> int:
    """Check a length that the file states: its elements take at least four bytes each.

    Raises:
        ModelError: they would not fit into the file.
    """
    if not 0 <= found <= content_size // 4:
        raise ModelError(
            f"{what}: expected a count that fits into {content_size} bytes, got {found}; copy the file again"
        )
    return found


class TfliteOptions:
    """The options of an operator, by name; defaults where the file has none."""

    def __init__(self, table: Any = None) -> None:
        self._table = table

    def get(self, name: str, default: Any = 0) -> Any:
        """Return an option, called as in the schema: `StrideH`."""
        return default if self._table is None else getattr(self._table, name)()

    def ints(self, name: str) -> list[int]:
        """Return an option that is a list of numbers."""
        if self._table is None:
            return []
        array = getattr(self._table, f"{name}AsNumpy")()
        return [] if isinstance(array, int) else [int(x) for x in array]


def options_of(operator: Any) -> TfliteOptions:
    """Return the builtin options of an operator's table."""
    kind, table = operator.BuiltinOptionsType(), operator.BuiltinOptions()
    if table is None or kind == 0:
        return TfliteOptions()
    name = names_of("BuiltinOptions").get(kind)
    if name is None:
        raise ModelError(f"options of an operator: expected a type that the schema knows, got {kind}")
    typed = getattr(schema(), name)()
    typed.Init(table.Bytes, table.Pos)
    return TfliteOptions(typed)
