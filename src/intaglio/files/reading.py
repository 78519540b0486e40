"""Read files that may be damaged: text, JSON, TOML and NumPy arrays, with bounded memory.

Whatever a file holds, these return what it says or raise `UnreadableError`; the caller adds which file it was and what
to do. Sizes are compared with the bytes that are there before memory is taken.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import stat
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXT_BYTES = 1 << 30
_HEADER_BYTES = 10_000  # of an array; NumPy's own bound
_MAGIC = b"\x93NUMPY"


class UnreadableError(Exception):
    """File or text of another form than expected; the message gives the reason."""


@contextmanager
def readable() -> Iterator[None]:
    """Turn errors of parsing foreign bytes or data into `UnreadableError`."""
    try:
        yield
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    except (
        ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, RecursionError,
        StopIteration, SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip
        text = " ".join(str(error).split())[:200]
        raise UnreadableError(f"{type(error).__name__}{': ' if text else ''}{text}") from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 text file."""
    with readable(), _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > TEXT_BYTES:
            raise ValueError(f"expected at most {TEXT_BYTES} bytes, got {size}")
        return file.read().decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON to plain data."""
    with readable():
        return json.loads(text)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file as plain data."""
    return parse_json(read_text(path))


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file as plain data."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # imported here, because a core install on Python 3.10 lacks it
    with readable():
        return tomllib.loads(read_text(path))


class ArrayHeader(NamedTuple):
    """What a .npy file or a member of a .npz says of its array.

    Args:
        shape, dtype: of the array.
        fortran: whether its first axis is the innermost.
        offset: bytes before the data.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def nbytes(self) -> int:
        """Of the data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], size: int) -> ArrayHeader:
    """The header of an array, held against the bytes that are there.

    Args:
        file: at its beginning; afterwards at the data.
        size: of the file or member.
    """
    with readable():
        magic = _exactly(file, 8)
        if magic[:6] != _MAGIC or magic[6] not in (1, 2, 3):
            raise ValueError("no NumPy array begins there")
        width = 2 if magic[6] == 1 else 4
        length = int.from_bytes(_exactly(file, width), "little")
        if length > _HEADER_BYTES:
            raise ValueError(f"a header of {length} bytes, more than {_HEADER_BYTES}")
        text = _exactly(file, length).decode("utf-8" if magic[6] == 3 else "latin1")
        found = ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text).strip())
        if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
            raise ValueError("a header without descr, fortran_order and shape")
        shape = found["shape"]
        if not isinstance(shape, tuple) or any(type(n) is not int or not 0 <= n < 1 << 48 for n in shape):
            raise ValueError(f"a shape of {shape!r:.80}")
        dtype = np.lib.format.descr_to_dtype(found["descr"])
        header = ArrayHeader(shape, dtype, bool(found["fortran_order"]), 8 + width + length)
        if not dtype.hasobject and header.nbytes > size - header.offset:
            raise ValueError(f"shape {shape} needs {header.nbytes} bytes, there are {size - header.offset}")
        return header


def read_rows(file: IO[bytes], header: ArrayHeader, rows: int) -> NDArray[Any]:
    """Read the next rows of an array in C order."""
    size = (rows, *header.shape[1:])
    with readable():
        raw = _exactly(file, math.prod(size) * header.dtype.itemsize)
        return np.frombuffer(raw, header.dtype, math.prod(size)).reshape(size)


def read_whole(file: IO[bytes], header: ArrayHeader) -> NDArray[Any]:
    """Read the whole array after its header."""
    with readable():
        flat = np.frombuffer(bytearray(_exactly(file, header.nbytes)), header.dtype, math.prod(header.shape))
        if file.read(1):  # reads to the end of the .npz member, so that its checksum is verified
            raise ValueError("bytes behind the array")
        return flat.reshape(header.shape[::-1]).T if header.fortran else flat.reshape(header.shape)


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read a .npy file of plain numbers."""
    with readable(), _opened(path) as file:
        header = read_header(file, os.fstat(file.fileno()).st_size)
        return read_whole(file, plain(header))


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz by name; checksums are verified."""
    with readable(), _opened(path) as raw, zipfile.ZipFile(raw) as archive:
        found = {}
        for info in members(archive):
            with archive.open(info) as file:
                found[info.filename.removesuffix(".npy")] = read_whole(file, plain(read_header(file, info.file_size)))
        return found


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The arrays of a .npz."""
    found = archive.infolist()
    for info in found:
        if not info.filename.endswith(".npy"):
            raise ValueError(f"member {info.filename!r:.80} is no .npy")
        if info.file_size > 1100 * max(info.compress_size, 1):  # beyond deflate's largest compression ratio
            raise ValueError(f"member {info.filename!r:.80} claims {info.file_size} bytes")
    return found


def plain(header: ArrayHeader) -> ArrayHeader:
    """The header itself, if its array holds plain numbers.

    Raises:
        UnreadableError: it holds Python objects.
    """
    if header.dtype.hasobject:
        raise UnreadableError("it holds Python objects, which are not loaded; save plain numbers")
    return header


FileStamp = tuple[int, ...]


def file_stamp(file: IO[bytes]) -> FileStamp:
    """Return a value that changes when the file is modified or replaced."""
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns, state.st_ino


def same_or_error(file: IO[bytes], before: FileStamp) -> None:
    """Refuse a file that has changed since it was opened first.

    Raises:
        UnreadableError: it has.
    """
    now = file_stamp(file)
    if now != before:
        raise UnreadableError(
            f"the file changed while it was in use ({before[0]} bytes before, {now[0]} now); leave it alone until the "
            "command ends"
        )


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        yield file


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading."""
    with readable():
        file = open(path, "rb")  # noqa: SIM115  the caller closes it
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise ValueError("it is no regular file")
        return file


def _exactly(file: IO[bytes], count: int) -> bytes:
    found = file.read(count)
    if len(found) != count:
        raise EOFError(f"{count} bytes expected, {len(found)} there: the file is cut short")
    return found


def check_types(data: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    """Hold plain data against types by name, such as `{"score": (int, float, type(None))}`; bool is no number.

    Raises:
        UnreadableError: a value of another type, or a number that is not finite.
    """
    for name, kind in types.items():
        value = data.get(name)
        wrong = (isinstance(value, bool) and kind is not bool) or not isinstance(value, kind)
        if wrong or (isinstance(value, float) and not math.isfinite(value)):
            raise UnreadableError(f"{name}: got {value!r:.60}")
