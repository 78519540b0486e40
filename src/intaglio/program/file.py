"""Read the `.intaglio` file, whose form `file_writer` describes.

Reading executes nothing and allocates no more than a small multiple of the file's size: shapes are believed only after
the bytes that they claim have been found, and the Program is verified before it is returned.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors

from intaglio.errors import IntaglioError, ProgramError
from intaglio.program.decode import program_from_data
from intaglio.program.file_writer import (
    CHECKSUM,
    FORMAT,
    VERSION,
    checksum,
    header_size,
    parameter_bytes,
    save,
    to_bytes,
)
from intaglio.program.program import Program
from intaglio.program.verify import verify

__all__ = ["from_bytes", "load_program", "parameter_bytes", "save", "to_bytes"]

_INSTEAD = {
    ".onnx": ". A float network becomes a program with `intaglio quantize`, in Python intaglio.quantize(path, "
    "data).lower(). `intaglio run`, `bench`, `compile` and `inspect` take a file in QDQ or QOperator form as it is; in "
    "Python intaglio.load_quantized(path).lower()",
    ".tflite": ". A float network becomes a program with `intaglio quantize`, in Python intaglio.quantize(path, "
    "data).lower(). `intaglio run`, `bench`, `compile` and `inspect` take a quantized one as it is; in Python "
    "intaglio.load_quantized(path).lower()",
    **dict.fromkeys(
        (".keras", ".h5"),
        ". A float network becomes a program with `intaglio quantize`, in Python intaglio.quantize(path, data).lower()",
    ),
}
"""What to do with other tools' files, by suffix."""
DAMAGED = "the file is damaged; copy it again or write it again with `intaglio quantize`"


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read and verify a `.intaglio` file. Runs no code from it.

    Raises:
        ProgramError: the file is missing, not a Program, cut short, changed, of a newer version or inconsistent.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        held = path / "model.intaglio"
        advice = f"did you mean {held}?" if held.exists() else "check the path"
        raise ProgramError(f"{path}: cannot be read ({error.strerror or error}); {advice}") from error
    try:
        return from_bytes(data)
    except IntaglioError as error:
        raise ProgramError(f"{path}: {error}{_INSTEAD.get(path.suffix.lower(), '')}") from error


def from_bytes(data: bytes) -> Program:
    """Read what `to_bytes` wrote.

    Raises:
        ProgramError: as for `load_program`, without the file's name.
    """
    try:
        header = _read_header(data)
        _verify_checksum(data)
        arrays = read_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"expected a safetensors file, got {_short(error)}; {DAMAGED}") from error
    try:
        program = program_from_data(header, arrays)
    except RecursionError as error:
        raise ProgramError(f"the header is nested too deeply; {DAMAGED}") from error
    verify(program)
    return program


def _read_header(data: bytes) -> dict[str, Any]:
    """Our part of the header, once format and version are ours."""
    if len(data) < 8:
        raise ProgramError(f"expected a .intaglio file, got {len(data)} bytes; the file is cut short")
    size = header_size(data)
    if size > len(data) - 8:
        if data[8:9] in (b"{", b""):
            raise ProgramError(
                f"the header needs {size} bytes, the file has {len(data) - 8} after its first 8; {DAMAGED}"
            )
        raise ProgramError("expected a .intaglio file (safetensors), got something else; check the path")
    try:
        outer = json.loads(data[8 : 8 + size])
        header = json.loads(outer["__metadata__"]["intaglio"])
        name, version = header["format"], header["version"]
    except RecursionError as error:
        raise ProgramError(f"the header is nested too deeply; {DAMAGED}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"expected a .intaglio file, got no readable header ({_short(error)}); {DAMAGED}") from error
    if name != FORMAT:
        raise ProgramError(f"expected format '{FORMAT}', got {name!r}; check the path")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProgramError(f"expected a format version of 1 or more, got {version!r}; {DAMAGED}")
    if version > VERSION:
        raise ProgramError(
            f"format version {version} is newer than this Intaglio reads (up to {VERSION}); update with "
            "`pip install --upgrade intaglio`"
        )
    assert isinstance(header, dict)
    return header


def _verify_checksum(data: bytes) -> None:
    end = 8 + header_size(data)
    found = CHECKSUM.findall(data, 8, end)
    if len(found) != 1:
        raise ProgramError(f"expected one checksum in the header, got {len(found)}; {DAMAGED}")
    match = CHECKSUM.search(data, 8, end)
    assert match is not None
    if checksum(data, match) != match[1]:
        raise ProgramError(
            f"the checksum does not fit the content ({len(data)} bytes): cut short or changed; {DAMAGED}"
        )


def _short(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
