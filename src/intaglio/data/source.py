"""What a Dataset reads from, and the sources that need NumPy only: arrays, .npy and .npz files."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import Array, Chunk, Shapes, as_labels, window
from intaglio.errors import DataError

CHUNK = 64  # samples read at a time: bounds the memory of a pass, large enough that Python's share of the time is small


class Source(Protocol):
    """Samples in a fixed order.

    Attributes:
        name: what error texts call it.
        once: it can be read a single time only.
        class_names: names of the labels 0, 1, ... where they are known.
    """

    name: str
    once: bool
    class_names: tuple[str, ...] | None

    def count(self, shapes: Shapes | None) -> int | None:
        """Number of samples, or None where only a full pass would tell."""

    def labels(self) -> npt.NDArray[np.int64] | None:
        """All labels where they can be had without touching the samples."""

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        """The samples from `start` up to `stop` (None: the end), touching as little else as possible.

        `shapes`, the sample shapes that the model wants, tell a sample from a batch where the source alone does not.
        """


class ArraySource:
    """Arrays in memory or memory-mapped, axis 0 counting the samples."""

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(
        self, name: str, x: Sequence[Array], y: Array | None = None, names: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self.x = tuple(x)
        self.y = y
        self.names = None if names is None else tuple(names)
        shapes = ", ".join(str(a.shape) for a in self.x)
        if any(a.ndim == 0 for a in self.x) or len({len(a) for a in self.x}) != 1:
            raise DataError(f"{name}: axis 0 must count the samples and be equal in every input, got shapes {shapes}")
        if y is not None and (y.ndim == 0 or len(y) != len(self.x[0])):
            raise DataError(f"{name}: {len(self.x[0])} samples (shape {shapes}) but labels of shape {y.shape}")

    def count(self, shapes: Shapes | None) -> int:
        return len(self.x[0])

    def labels(self) -> npt.NDArray[np.int64] | None:
        return None if self.y is None else as_labels(self.y, self.name)

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        whole = Chunk(self.x, self.names, self.y)
        stop = whole.size if stop is None else min(stop, whole.size)
        for at in range(start, stop, CHUNK):
            yield whole.cut(at, min(at + CHUNK, stop))


class Member(NamedTuple):
    """One array of a .npz."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # bytes of header before the data
    rows: bool  # samples lie one behind the other (C order), so that some can be read without the rest


class NpzSource:
    """A .npz with `x` (or one array per model input, by name) and optionally `y`, read in pieces."""

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(self, path: Path, *, labels: bool = True) -> None:
        self.name = str(path)
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                self.members = {name: _header(archive, name, self.name) for name in names}
        except (OSError, zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise DataError(f"{path}: expected a .npz of arrays, got a file that cannot be read ({error})") from error
        self.inputs = [name for name in names if name != "y"]
        if not self.inputs:
            raise DataError(f"{path}: expected arrays 'x' and 'y', or one array per model input, got only {names}")
        self.y = self._read_all("y") if labels and "y" in self.members else None

    def count(self, shapes: Shapes | None) -> int:
        return self.members[self._chosen(shapes)[0]].shape[0]

    def labels(self) -> npt.NDArray[np.int64] | None:
        return None if self.y is None else as_labels(self.y, self.name)

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        chosen = self._chosen(shapes)
        names = None if chosen == ["x"] else tuple(chosen)
        total = self.members[chosen[0]].shape[0]
        sizes = {name: self.members[name].shape[0] for name in chosen} | ({} if self.y is None else {"y": len(self.y)})
        if len(set(sizes.values())) != 1:
            raise DataError(f"{self.path}: the arrays must hold equally many samples, got {sizes}")
        stop = total if stop is None else min(stop, total)
        try:
            with ExitStack() as stack:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                readers = [self._rows(stack, archive, name, start, stop) for name in chosen]
                for at in range(start, stop, CHUNK):
                    x = tuple(next(reader) for reader in readers)
                    yield Chunk(x, names, None if self.y is None else self.y[at : at + len(x[0])])
        except (OSError, zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise DataError(f"{self.path}: damaged .npz ({error})") from error

    def _chosen(self, shapes: Shapes | None) -> list[str]:
        if shapes and all(name in self.inputs for name in shapes):
            return list(shapes)
        return ["x"] if "x" in self.inputs else self.inputs

    def _read_all(self, name: str) -> Array:
        with np.load(self.path, allow_pickle=False) as archive:
            array: Array = archive[name]
        return array

    def _rows(self, stack: ExitStack, archive: zipfile.ZipFile, name: str, start: int, stop: int) -> Iterator[Array]:
        member = self.members[name]
        if not member.rows:  # Fortran order interleaves the samples
            whole = self._read_all(name)
            return (whole[at : min(at + CHUNK, stop)] for at in range(start, stop, CHUNK))
        row = math.prod(member.shape[1:])
        file = stack.enter_context(archive.open(f"{name}.npy"))
        # read, not seek: from the first byte to the last one, the archive's checksum is compared as well
        file.read(member.offset)
        if start:
            file.seek(member.offset + start * row * member.dtype.itemsize)
        return (_read_rows(file, member, min(CHUNK, stop - at), row) for at in range(start, stop, CHUNK))


def _read_rows(file: IO[bytes], member: Member, rows: int, row: int) -> Array:
    raw = file.read(rows * row * member.dtype.itemsize)
    return np.frombuffer(raw, member.dtype, rows * row).reshape(rows, *member.shape[1:])


def _header(archive: zipfile.ZipFile, name: str, where: str) -> Member:
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        if dtype.hasobject:
            raise DataError(f"{where}: array '{name}' holds Python objects, which are not loaded. Save plain numbers.")
        if not shape:
            raise DataError(f"{where}: array '{name}' is a single number; axis 0 must count the samples")
        return Member(shape, dtype, file.tell(), not fortran)


class NpyFolder:
    """A directory of .npy files in the order of their names.

    Each file is one sample, unless it has one axis more than the model's samples: then axis 0 counts samples.
    """

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.name = str(path)
        self.files = tuple(files)

    def count(self, shapes: Shapes | None) -> int:
        return sum(chunk.size for chunk in self._files(shapes)) if shapes else len(self.files)

    def labels(self) -> None:
        return None

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        return window(self._files(shapes), start, stop)

    def _files(self, shapes: Shapes | None) -> Iterator[Chunk]:
        rank = len(next(iter(shapes.values()))) if shapes else None
        for path in self.files:
            array = load_npy(path)
            yield Chunk((array if rank is not None and array.ndim == rank + 1 else array[None],))


def load_npy(path: Path) -> Array:
    """A .npy file, memory-mapped.

    Raises:
        DataError: it is damaged, no .npy, or holds Python objects.
    """
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: expected a .npy file of plain numbers, got one that cannot be read ({error})"
        ) from error
    return array
