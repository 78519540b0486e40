"""Format C text: identifiers, integers, arrays and structs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import CompileError
from intaglio.kernels.kernel import C_TYPES, Long, Name, Struct, StructArray

# Byte arrays are written as string literals; disable warnings about their length and missing terminating zero.
LONG_STRINGS = """#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#pragma GCC diagnostic ignored "-Wunterminated-string-initialization"
#endif
"""


def identifier(name: str) -> str:
    """Convert a name to a C identifier."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{cleaned}" if not cleaned or cleaned[0].isdigit() else cleaned


def comment(text: str) -> str:
    """Make a text safe inside a one-line C comment."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable.replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /")


class Constants:
    """Constant arrays and structs of a model; equal arrays are written once."""

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.lines: list[str] = []
        self.nbytes = 0
        self._arrays: dict[tuple[str, bytes], str] = {}
        self._taken: set[str] = set()

    def array(self, values: NDArray[Any], name: str) -> str:
        """Return the name of a constant array: `name`, unless it is taken or an equal array exists."""
        c_type = C_TYPES[values.dtype.str[1:]]
        data = np.ascontiguousarray(values).tobytes()
        known = self._arrays.get((c_type, data))
        if known is not None:
            return known
        name = self._free(name)
        self._arrays[c_type, data] = name
        self.nbytes += len(data)
        self.lines.append(array_text(values, name, self.alignment))
        return name

    def struct(self, type: str, fields: Mapping[str, Any], name: str) -> str:
        """Return the name of a new constant struct with these members: `name`, unless it is taken."""
        name = self._free(name)
        body = self._members(fields, name)
        self.lines.append(f"static const {type} {name} = {body};\n")
        return name

    def _free(self, name: str) -> str:
        """Return the name, or the first unused of `name_2`, `name_3`, ..."""
        # Tensor names may differ only in characters that C identifiers cannot contain.
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._taken.add(free)
        return free

    def _members(self, fields: Mapping[str, Any], name: str) -> str:
        members = (f".{key} = {self._value(value, f'{name}_{key}')}" for key, value in fields.items())
        return "{" + ", ".join(members) + "}"

    def _value(self, value: Any, name: str) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, Name):
            return value.text
        if isinstance(value, Struct):
            return "&" + self.struct(value.type, value.fields, name)
        if isinstance(value, StructArray):
            name = self._free(name)
            rows = ",\n    ".join(self._members(row, f"{name}_{i}") for i, row in enumerate(value.rows))
            self.lines.append(f"static const {value.type} {name}[{len(value.rows)}] = {{\n    {rows}}};\n")
            return name
        if isinstance(value, np.ndarray):
            return self.array(value.reshape(-1), name)
        if isinstance(value, Mapping):
            return self._members(value, name)
        if isinstance(value, Sequence):
            return "{" + ", ".join(self._value(v, f"{name}_{i}") for i, v in enumerate(value)) + "}"
        if isinstance(value, Long):
            return integer_text(value.value)
        if not -(1 << 31) <= value < 1 << 31:
            raise CompileError(f"{name}: expected an integer of 32 bits, got {value}; the layer is too large for C")
        return integer_text(int(value))


def integer_text(value: int) -> str:
    """Format an integer constant of sufficient C type; INT32_MIN and INT64_MIN cannot be written as literals."""
    if value == -(1 << 31):
        return "INT32_MIN"
    if value == -(1 << 63):
        return "INT64_MIN"
    return str(value) if -(1 << 31) < value < 1 << 31 else f"INT64_C({value})"


def array_text(values: NDArray[Any], name: str, alignment: int) -> str:
    """Format a constant array; bytes as a string literal, which compilers parse twenty times as fast."""
    values = np.ascontiguousarray(values).reshape(-1)
    c_type = C_TYPES[values.dtype.str[1:]]
    head = f"static const _Alignas({alignment}) {c_type} {name}[{max(1, values.size)}] ="
    if values.dtype.itemsize == 1 and values.size > 16:
        octal = _OCTAL[values.view(np.uint8)]
        rows = (b"".join(octal[i : i + 32].tolist()).decode() for i in range(0, values.size, 32))
        return head + "\n" + "\n".join(f'    "{row}"' for row in rows) + ";\n"
    lines = [", ".join(integer_text(int(v)) for v in values[i : i + 16]) for i in range(0, max(1, values.size), 16)]
    return head + " {\n" + ",\n".join("    " + (line or "0") for line in lines) + "};\n"


_OCTAL = np.array([f"\\{byte:03o}".encode() for byte in range(256)], dtype=object)
