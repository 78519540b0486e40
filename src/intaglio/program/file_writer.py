"""Write the `.intaglio` file: a Program in one safetensors file.

The integer arrays are safetensors tensors; everything else is JSON in the safetensors header, under the metadata key
`intaglio` (one key, because safetensors keeps no order among several). Weights and constants of types other than 8, 16
and 32 bits are packed (`number.packing`). That JSON's `checksum` is the SHA-256 of the whole file with these 64 digits
themselves read as zeros, so any changed byte is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from pathlib import Path

from safetensors.numpy import save as write_tensors

from intaglio.errors import ProgramError
from intaglio.files import whole_file
from intaglio.program.encode import program_to_data
from intaglio.program.structure import ProgramStructure
from intaglio.program.verify import verify

FORMAT = "intaglio-program"
VERSION = 1
_ZEROS = b"0" * 64
_OTHERS = {".html", ".json", ".onnx", ".tflite"}
# JSON inside a JSON string: our quotes have one backslash in front, quotes inside our own strings have more.
CHECKSUM = re.compile(rb'\\"checksum\\":\\"([0-9a-f]{64})\\"')


def save(program: ProgramStructure, path: str | os.PathLike[str]) -> None:
    """Write a `.intaglio` file: under a temporary name in the same folder, then renamed, so nothing is half-written.

    Raises:
        ProgramError: the program does not verify, or the folder cannot be written.
    """
    verify(program)
    path = Path(path)
    if path.suffix.lower() in _OTHERS:
        raise ProgramError(
            f"{path}: expected a name that ends in .intaglio, got {path.suffix}, which is another kind of file; "
            "`Quantized.export` and `save` write .onnx, .json and .html"
        )
    data = to_bytes(program)
    try:
        with whole_file(path) as written:
            written.write_bytes(data)
    except OSError as error:
        raise ProgramError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error


def to_bytes(program: ProgramStructure) -> bytes:
    """The file's bytes; the same Program gives the same bytes."""
    header, arrays = program_to_data(program)
    header = {"checksum": _ZEROS.decode(), "format": FORMAT, "version": VERSION, **header}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    data = bytearray(write_tensors(arrays, {"intaglio": text}))
    found = CHECKSUM.search(data, 8, 8 + header_size(data))
    assert found is not None and found[1] == _ZEROS
    data[found.start(1) : found.end(1)] = checksum(data, found)
    return bytes(data)


def checksum(data: bytes | bytearray, found: re.Match[bytes]) -> bytes:
    """The 64 digits of a file; `found` says where they stand in it."""
    digest = hashlib.sha256(memoryview(data)[: found.start(1)])
    digest.update(_ZEROS)
    digest.update(memoryview(data)[found.end(1) :])
    return digest.hexdigest().encode()


def parameter_bytes(program: ProgramStructure) -> int:
    """Bytes of weights, biases, multipliers, tables and constants as the file stores them."""
    return sum(array.nbytes for array in program_to_data(program)[1].values())


def header_size(data: bytes | bytearray) -> int:
    """Bytes of the safetensors header, which follows the first 8."""
    return int(struct.unpack_from("<Q", data)[0])
