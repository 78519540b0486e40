"""What a row is: the function that writes one kind of integer operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from intaglio.errors import ExportError
from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.number import QuantParams
from intaglio.program import Node

Row: TypeAlias = Callable[[TfliteFile, Node], None]
"""Adds a node to the file; raises ExportError with the bare reason where TFLite computes other integers."""


def params_of(file: TfliteFile, name: str) -> QuantParams:
    """Return the scale and zero point of a tensor of the Program.

    Raises:
        ExportError: it holds plain integers.
    """
    found = file.program.tensors[name].params
    if found is None:
        raise ExportError(f"expected quantized numbers, got '{name}', which holds plain integers")
    return found
