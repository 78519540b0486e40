"""The `.intaglio` file: a Program in one safetensors file.

The integer arrays are safetensors tensors; everything else is JSON in the safetensors header, under the metadata key
`intaglio` (one key, because safetensors keeps no order among several). Weights and constants of types other than 8, 16
and 32 bits are packed (`number.packing`). That JSON's `checksum` is the SHA-256 of the whole file with these 64 digits
themselves read as zeros, so any changed byte is found.

Reading executes nothing and allocates no more than a small multiple of the file's size: shapes are believed only after
the bytes that they claim have been found, and the Program is verified before it is returned.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from intaglio.errors import IntaglioError, ProgramError
from intaglio.files import whole_file
from intaglio.program.codec import program_from_data, program_to_data
from intaglio.program.verify import verify

if TYPE_CHECKING:
    from intaglio.program.program import Program

FORMAT = "intaglio-program"
VERSION = 1
_ZEROS = b"0" * 64
# JSON inside a JSON string: our quotes have one backslash in front, quotes inside our own strings have more.
_CHECKSUM = re.compile(rb'\\"checksum\\":\\"([0-9a-f]{64})\\"')
_INSTEAD = {
    ".onnx": ". A float network becomes a program with `intaglio quantize`, one in QDQ or QOperator form with "
    "intaglio.load_quantized(path).lower()",
    ".tflite": ". Such files cannot be read: quantize the float network that it was made from, with "
    "`intaglio quantize --target tflite-int8`",
}
"""What to do with other tools' files, by suffix."""
DAMAGED = "the file is damaged; copy it again or write it again with `intaglio quantize`"


def save(program: Program, path: str | os.PathLike[str]) -> None:
    """Write a `.intaglio` file: under a temporary name in the same folder, then renamed, so nothing is half-written.

    Raises:
        ProgramError: the program does not verify, or the folder cannot be written.
    """
    verify(program)
    path = Path(path)
    data = to_bytes(program)
    try:
        with whole_file(path) as written:
            written.write_bytes(data)
    except OSError as error:
        raise ProgramError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read and verify a `.intaglio` file. Runs no code from it.

    Raises:
        ProgramError: the file is missing, not a Program, cut short, changed, of a newer version or inconsistent.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProgramError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    try:
        return from_bytes(data)
    except IntaglioError as error:
        raise ProgramError(f"{path}: {error}{_INSTEAD.get(path.suffix.lower(), '')}") from error


def to_bytes(program: Program) -> bytes:
    """The file's bytes; the same Program gives the same bytes."""
    header, arrays = program_to_data(program)
    header = {"checksum": _ZEROS.decode(), "format": FORMAT, "version": VERSION, **header}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    data = bytearray(write_tensors(arrays, {"intaglio": text}))
    found = _CHECKSUM.search(data, 8, 8 + _header_size(data))
    assert found is not None and found[1] == _ZEROS
    data[found.start(1) : found.end(1)] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


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


def parameter_bytes(program: Program) -> int:
    """Bytes of weights, biases, multipliers, tables and constants as the file stores them."""
    return sum(array.nbytes for array in program_to_data(program)[1].values())


def _header_size(data: bytes | bytearray) -> int:
    return int(struct.unpack_from("<Q", data)[0])


def _read_header(data: bytes) -> dict[str, Any]:
    """Our part of the header, once format and version are ours."""
    if len(data) < 8:
        raise ProgramError(f"expected a .intaglio file, got {len(data)} bytes; the file is cut short")
    size = _header_size(data)
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
    end = 8 + _header_size(data)
    found = _CHECKSUM.findall(data, 8, end)
    if len(found) != 1:
        raise ProgramError(f"expected one checksum in the header, got {len(found)}; {DAMAGED}")
    match = _CHECKSUM.search(data, 8, end)
    assert match is not None
    digest = hashlib.sha256(data[: match.start(1)])
    digest.update(_ZEROS)
    digest.update(memoryview(data)[match.end(1) :])
    if digest.hexdigest().encode() != match[1]:
        raise ProgramError(
            f"the checksum does not fit the content ({len(data)} bytes): cut short or changed; {DAMAGED}"
        )


def _short(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
