"""Tables of the .tflite schema, written with the builder functions of an installed package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError, ModelError
from intaglio.frontends.tflite.schema import schema

_ALIGNMENT = 16  # bytes; of the constants in a file, which kernels read where they lie


class FlatTables:
    """A flatbuffer under construction: parts first, then the tables that refer to them.

    Raises:
        ExportError: no package that carries the schema is installed.
    """

    def __init__(self) -> None:
        try:
            import flatbuffers

            self._schema = schema()
        except (ImportError, ModelError) as error:
            raise ExportError(
                "writing .tflite files: expected the package tflite or ai-edge-litert, which carry the schema, got "
                "neither; install the extra: pip install 'intaglio[tflite]'"
            ) from error
        self._builder = flatbuffers.Builder(1 << 16)

    def number(self, enumeration: str, name: str) -> int:
        """Return a number of an enumeration, such as `BuiltinOperator`."""
        return int(getattr(getattr(self._schema, enumeration), name))

    def table(self, name: str, **fields: Any) -> int:
        """Write a table; fields are called as in the schema's functions, `StrideH`, and None is left out.

        Returns:
            Its place, for the table that refers to it.
        """
        getattr(self._schema, f"{name}Start")(self._builder)
        for field, value in fields.items():
            if value is not None:
                getattr(self._schema, f"{name}Add{field}")(self._builder, value)
        return int(getattr(self._schema, f"{name}End")(self._builder))

    def text(self, text: str) -> int:
        """Write a string."""
        return int(self._builder.CreateString(text))

    def numbers(self, numbers: Sequence[Any] | NDArray[Any], dtype: Any) -> int:
        """Write a list of numbers."""
        return int(self._builder.CreateNumpyVector(np.asarray(numbers, dtype)))

    def content(self, content: bytes) -> int:
        """Write the bytes of a constant, aligned."""
        self._builder.Prep(_ALIGNMENT, len(content))
        return int(self._builder.CreateByteVector(content))

    def tables(self, places: Sequence[int]) -> int:
        """Write a list of tables."""
        self._builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self._builder.PrependUOffsetTRelative(place)
        return int(self._builder.EndVector())

    def finish(self, model: int) -> bytes:
        """Return the file."""
        self._builder.Finish(model, b"TFL3")
        return bytes(self._builder.Output())
