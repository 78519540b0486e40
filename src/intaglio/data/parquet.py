"""Read images from a Parquet file, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import Array, Chunk, Shapes, objects
from intaglio.data.extras import load_extra
from intaglio.data.images import PictureSource, Preprocess
from intaglio.data.targets import as_entry, read_mask
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, readable

ROWS = 64  # encoded images in memory at a time


class ParquetSource(PictureSource):
    """Source of images in column `image` (a struct with `bytes`, or bytes) and labels in column `label`."""

    def __init__(
        self,
        path: Path,
        preprocess: Preprocess,
        *,
        labels: bool = True,
        classes: tuple[str, ...] | None = None,
        column: str | None = None,
    ) -> None:
        self.name = str(path)
        self.path = path
        self.preprocess = preprocess
        with self._open() as file, self._readable("in its schema"):
            columns = file.schema_arrow.names
            metadata = file.schema_arrow.metadata or {}
            self.groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        if "image" not in columns:
            raise DataError(f"{path}: expected a column 'image' (struct with 'bytes'), got columns {columns}")
        if column is not None and column not in columns:
            raise DataError(f"{path}: expected a column {column!r}, which `label` names, got columns {columns}")
        self.has_labels = labels and "label" in columns and column is None
        self.column = column
        names = metadata.get(b"class_names", b"").decode()
        self.class_names = classes or (tuple(names.split(",")) if names else None)

    def count(self, shapes: Shapes | None) -> int:
        return sum(self.groups)

    def labels(self) -> npt.NDArray[np.int64] | None:
        if not self.has_labels:
            return None
        with self._open() as file, self._readable("in its labels"):
            return self._as_labels(file.read(columns=["label"]).column("label"))

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        total = sum(self.groups)
        stop = total if stop is None else min(stop, total)
        ends = np.cumsum(self.groups)
        wanted = [i for i, rows in enumerate(self.groups) if ends[i] > start and ends[i] - rows < stop]
        if start >= stop:
            return
        at = int(ends[wanted[0]]) - self.groups[wanted[0]]
        columns = ["image", *(["label"] if self.has_labels else []), *([self.column] if self.column else [])]
        with self._open() as file:
            batches = file.iter_batches(batch_size=ROWS, row_groups=wanted, columns=columns)
            while at < stop and (rows := self._next(batches, at)) is not None:
                images = rows.column("image")
                y = self._as_labels(rows.column("label")) if self.has_labels else None
                y = y if self.column is None else self._targets(rows.column(self.column), at)
                for i in range(max(start - at, 0), min(stop - at, len(rows))):
                    x = self.preprocess(self._bytes(images[i].as_py(), at + i), f"{self.path} row {at + i}")
                    yield Chunk((x[None],), None, None if y is None else y[i : i + 1])
                at += len(rows)

    def picture(self) -> Any:
        with self._open() as file:
            rows = self._next(file.iter_batches(batch_size=1, columns=["image"]), 0)
        if rows is None:
            raise DataError(f"{self.path}: no samples. At least 1 is needed.")
        return self.preprocess.decode(self._bytes(rows.column("image")[0].as_py(), 0), f"{self.path} row 0")

    def _targets(self, column: Any, first: int) -> Array:
        """Convert cells: images become their pixels, lists arrays; texts and numbers stay."""
        rows = []
        for i, cell in enumerate(column.to_pylist()):
            picture = cell.get("bytes") if isinstance(cell, dict) else cell
            where = f"{self.path} row {first + i}, {self.column}"
            rows.append(read_mask(picture, where) if isinstance(picture, bytes) else as_entry(cell))
        return objects(rows)

    def _open(self) -> Any:
        parquet = load_extra("pyarrow.parquet", "pyarrow", "read Parquet files")
        with self._readable("at its end"):
            return parquet.ParquetFile(self.path)

    def _next(self, batches: Iterator[Any], at: int) -> Any:
        with self._readable(f"after row {at}"):
            return next(batches, None)

    @contextmanager
    def _readable(self, place: str) -> Iterator[None]:
        """Turn read errors into a DataError of one line."""
        arrow = load_extra("pyarrow", "pyarrow", "read Parquet files")
        try:
            with readable():
                yield
        except (UnreadableError, arrow.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.path}: expected a Parquet file, got one that cannot be read {place} ({reason}); copy it again"
            ) from error

    def _bytes(self, cell: Any, row: int) -> bytes:
        value = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(value, bytes):
            raise DataError(f"{self.path} row {row}: expected 'image' to hold the bytes of an image, got {_kind(cell)}")
        return value

    def _as_labels(self, column: Any) -> npt.NDArray[np.int64]:
        if column.null_count or not str(column.type).startswith(("int", "uint")):
            found = f"{column.null_count} empty rows" if column.null_count else f"a column of type {column.type}"
            raise DataError(f"{self.path}: expected 'label' to hold one whole number per row, got {found}")
        labels: npt.NDArray[np.int64] = (
            column.to_numpy(zero_copy_only=False) if _is_array(column) else column.to_numpy()
        )
        return labels.astype(np.int64)


def _is_array(column: Any) -> bool:
    """Return whether a column is an Array (to_numpy needs permission to copy) and not a ChunkedArray."""
    return not hasattr(column, "num_chunks")


def _kind(cell: Any) -> str:
    return f"a struct with {sorted(cell)}" if isinstance(cell, dict) else type(cell).__name__
