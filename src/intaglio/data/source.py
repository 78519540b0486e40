"""Protocol of data sources, and the sources that need only NumPy: arrays, .npy and .npz files."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import Array, Chunk, Shapes, as_labels, window
from intaglio.errors import DataError
from intaglio.files.reading import (
    ArrayHeader,
    UnreadableError,
    file_stamp,
    members,
    open_file,
    plain,
    read_header,
    read_npy,
    read_rows,
    read_whole,
    readable,
    same_or_error,
)

CHUNK = 64  # samples read at a time: small for memory, large enough to hide Python's overhead


class SampleSource(Protocol):
    """Source of samples in a fixed order.

    Attributes:
        name: name for error messages.
        once: whether it can be read only once.
        class_names: names of the classes 0, 1, ..., if known.
    """

    name: str
    once: bool
    class_names: tuple[str, ...] | None

    def count(self, shapes: Shapes | None) -> int | None:
        """Return the number of samples; None if unknown without a full pass."""

    def labels(self) -> npt.NDArray[np.int64] | None:
        """Return all labels; None if they cannot be read without the samples."""

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        """Yield samples `start` to `stop - 1` (None: to the end), reading as little else as possible.

        `shapes` are the model's sample shapes; they distinguish samples from batches if the source does not.
        """


class ArraySource:
    """Source of arrays in memory or memory-mapped, with samples in axis 0."""

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


class NamedArrays:
    """Source of arrays by input name; `y` are the labels, unless the model has an input of that name."""

    once = False
    class_names: tuple[str, ...] | None = None
    name = "arrays"

    def __init__(self, arrays: Mapping[str, Array], *, labels: bool = True) -> None:
        y = arrays.get("y") if len(arrays) > 1 else None
        rest = {name: array for name, array in arrays.items() if name != "y" or y is None}
        names = None if list(rest) == ["x"] else tuple(rest)
        self._labelled = ArraySource(self.name, tuple(rest.values()), y if labels else None, names)
        self._whole = (
            self._labelled if y is None else ArraySource(self.name, tuple(arrays.values()), None, tuple(arrays))
        )

    def count(self, shapes: Shapes | None) -> int:
        return self._labelled.count(shapes)

    def labels(self) -> npt.NDArray[np.int64] | None:
        return self._labelled.labels()

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        chosen = self._whole if shapes is not None and "y" in shapes else self._labelled
        return chosen.chunks(start, stop, shapes)


class NpySource:
    """Source of a .npy file, samples in axis 0, read in pieces; not memory-mapped, so truncation is an error."""

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        with _named(path, ".npy file of plain numbers"), open_file(path) as file:
            self.before = file_stamp(file)
            self.header = plain(read_header(file, self.before[0]))
        if not self.header.shape:
            raise DataError(f"{path}: the array is a single number; axis 0 must count the samples")

    def count(self, shapes: Shapes | None) -> int:
        return self.header.shape[0]

    def labels(self) -> None:
        return None

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        header = self.header
        stop = header.shape[0] if stop is None else min(stop, header.shape[0])
        with _named(self.path, ".npy file of plain numbers"), open_file(self.path) as file:
            same_or_error(file, self.before)
            file.seek(header.offset)
            whole = read_whole(file, header) if header.fortran else None
            file.seek(header.offset + (start * header.nbytes // header.shape[0] if header.shape[0] else 0))
            for at in range(start, stop, CHUNK):
                end = min(at + CHUNK, stop)
                x = read_rows(file, header, end - at) if whole is None else whole[at:end]
                same_or_error(file, self.before)
                yield Chunk((x,))


class NpzSource:
    """Source of a .npz with `x` (or one array per model input, by name) and optionally `y`, read in pieces."""

    once = False
    class_names: tuple[str, ...] | None = None

    def __init__(self, path: Path, *, labels: bool = True) -> None:
        self.name = str(path)
        self.path = path
        with self._opened() as (file, archive):
            self.before = file_stamp(file)
            self.members = {info.filename.removesuffix(".npy"): _header(archive, info) for info in members(archive)}
        names = list(self.members)
        for name, header in self.members.items():
            if not header.shape:
                raise DataError(f"{path}: array '{name}' is a single number; axis 0 must count the samples")
        self.labelled = labels
        self.inputs = [name for name in names if name != "y"] or names
        self.y: Array | None = None
        if not names:
            raise DataError(f"{path}: expected arrays 'x' and 'y', or one array per model input, got none")
        if labels and "y" in self.members and len(names) > 1:
            with self._opened() as (file, archive):
                self.y = _whole(archive, "y", self.members["y"])
        elif names == ["y"]:
            raise DataError(f"{path}: expected arrays 'x' and 'y', or one array per model input, got only {names}")

    def count(self, shapes: Shapes | None) -> int:
        return self.members[self._chosen(shapes)[0]].shape[0]

    def labels(self) -> npt.NDArray[np.int64] | None:
        return None if self.y is None else as_labels(self.y, self.name)

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        chosen = self._chosen(shapes)
        names = None if chosen == ["x"] else tuple(chosen)
        y = None if "y" in chosen else self.y
        total = self.members[chosen[0]].shape[0]
        sizes = {name: self.members[name].shape[0] for name in chosen} | ({} if y is None else {"y": len(y)})
        if len(set(sizes.values())) != 1:
            raise DataError(f"{self.path}: the arrays must hold equally many samples, got {sizes}")
        stop = total if stop is None else min(stop, total)
        with ExitStack() as stack:
            file, archive = stack.enter_context(self._opened())
            same_or_error(file, self.before)
            readers = [self._rows(stack, archive, name, start, stop) for name in chosen]
            for at in range(start, stop, CHUNK):
                x = tuple(next(reader) for reader in readers)
                same_or_error(file, self.before)
                yield Chunk(x, names, None if y is None else y[at : at + len(x[0])])

    def _chosen(self, shapes: Shapes | None) -> list[str]:
        if shapes and all(name in self.members for name in shapes):
            return list(shapes)
        return ["x"] if "x" in self.inputs else self.inputs

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], zipfile.ZipFile]]:
        with _named(self.path, ".npz of arrays"), open_file(self.path) as file, zipfile.ZipFile(file) as archive:
            yield file, archive

    def _rows(self, stack: ExitStack, archive: zipfile.ZipFile, name: str, start: int, stop: int) -> Iterator[Array]:
        header = self.members[name]
        if header.fortran:  # Fortran order interleaves the samples
            whole = _whole(archive, name, header)
            return (whole[at : min(at + CHUNK, stop)] for at in range(start, stop, CHUNK))
        file = stack.enter_context(archive.open(f"{name}.npy"))
        # read instead of seek: the archive's checksum is verified only if every byte is read
        file.read(header.offset)
        if start:
            file.seek(header.offset + start * (header.nbytes // header.shape[0]))
        return (read_rows(file, header, min(CHUNK, stop - at)) for at in range(start, stop, CHUNK))


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(info) as file:
        header = read_header(file, info.file_size)
    if header.dtype.hasobject:
        name = info.filename.removesuffix(".npy")
        raise UnreadableError(f"array '{name}' holds Python objects, which are not loaded; save plain numbers")
    return header


def _whole(archive: zipfile.ZipFile, name: str, header: ArrayHeader) -> Array:
    with archive.open(f"{name}.npy") as file:
        file.read(header.offset)
        return read_whole(file, header)


@contextmanager
def _named(path: Path, wanted: str) -> Iterator[None]:
    """Turn read errors into a DataError that names the file; other errors pass."""
    try:
        with readable():
            yield
    except UnreadableError as error:
        raise DataError(f"{path}: expected a {wanted}, got one that cannot be read ({error})") from error


class NpyFolder:
    """Source of a directory of .npy files in the order of their names.

    Each file is one sample; if it has one axis more than the model's samples, axis 0 is the batch axis.
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
    """Read a .npy file.

    Raises:
        DataError: it is damaged, not a .npy file, or contains Python objects.
    """
    with _named(path, ".npy file of plain numbers"):
        return read_npy(path)
