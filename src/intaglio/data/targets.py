"""Targets that are not class indices: masks, texts, boxes and numbers in a file or folder of their own."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.data.chunk import Array, Chunk, Shapes, objects
from intaglio.data.extras import load_extra
from intaglio.data.images import SUFFIXES, ImageFolder, PictureSource
from intaglio.data.source import SampleSource, load_npy
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, read_json, read_text, readable

Rows = Callable[[int, int], Array]
"""Returns the targets of samples `start` to `stop - 1`, (stop - start, ...)."""


class WithTargets:
    """Samples of another source, with targets of their own instead of its labels.

    Args:
        samples: the samples; its own labels are not read.
        path: .npy: axis 0 counts the samples; .txt: a text a line; .json: a list with an entry for each sample, such as
            {"boxes": [[x1, y1, x2, y2]], "labels": [0]}; or a folder of images, whose pixels are class indices (.png),
            in the order of their names.
        origin: the descriptor, for error messages.
    Raises:
        DataError: the file cannot be read, or has another number of targets.
    """

    def __init__(self, samples: SampleSource, path: Path, origin: str) -> None:
        self.samples, self.once, self.class_names = samples, samples.once, samples.class_names
        self.name = samples.name
        total, self._rows = open_targets(path, origin)
        count = samples.count(None)
        if count is not None and count != total:
            raise DataError(f"{path} (named by {origin}): expected a target for each of {count} samples, got {total}")

    def count(self, shapes: Shapes | None) -> int | None:
        return self.samples.count(shapes)

    def labels(self) -> None:
        return None

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        at = start
        for chunk in self.samples.chunks(start, stop, shapes):
            yield chunk._replace(y=self._rows(at, at + chunk.size))
            at += chunk.size


class PicturesWithTargets(WithTargets, PictureSource):
    """`WithTargets` of pictures, whose preprocessing depends on the model."""

    def __init__(self, samples: PictureSource, path: Path, origin: str) -> None:
        super().__init__(samples, path, origin)  # type: ignore[arg-type]
        self._pictures, self.preprocess = samples, samples.preprocess
        if path.is_dir() and isinstance(samples, ImageFolder):
            for picture, mask in zip(samples.files, mask_files(path), strict=True):
                if picture.stem != mask.stem:
                    raise DataError(
                        f"{mask} (named by {origin}): expected the mask of {picture.name}; give both one name"
                    )

    def for_inputs(self, shapes: Shapes) -> PicturesWithTargets:
        fitted = copy.copy(self)
        fitted.samples = fitted._pictures = self._pictures.for_inputs(shapes)  # type: ignore[assignment]
        fitted.preprocess = fitted._pictures.preprocess
        return fitted

    def picture(self) -> Any:
        return self._pictures.picture()


def open_targets(path: Path, origin: str) -> tuple[int, Rows]:
    """Open targets; images are read when they are needed.

    Returns:
        Their number, and a function that reads some of them.
    Raises:
        DataError: there is no such file, it cannot be read, or is of another kind.
    """
    where = f"{path} (named by {origin})"
    if path.is_dir():
        files = mask_files(path)
        if not files:
            raise DataError(f"{where}: expected a folder of images, whose pixels are class indices, got none")
        return len(files), lambda start, stop: _stacked([read_mask(file, str(file)) for file in files[start:stop]])
    if not path.exists():
        raise DataError(f"{where}: expected targets, got no such file or folder; check `label`")
    if path.suffix.lower() == ".npy":
        array = load_npy(path)
        if not array.ndim:
            raise DataError(f"{where}: expected axis 0 to count the samples, got a single number")
        return len(array), lambda start, stop: array[start:stop]
    try:
        if path.suffix.lower() == ".txt":
            found: Any = read_text(path).splitlines()
        elif path.suffix.lower() == ".json":
            found = read_json(path)
        else:
            raise DataError(f"{where}: expected a .npy, .txt or .json file or a folder of images, got {path.suffix}")
    except UnreadableError as error:
        raise DataError(f"{where}: expected targets, got a file that cannot be read ({error})") from error
    if not isinstance(found, list):
        raise DataError(f"{where}: expected a list with an entry for each sample, got {type(found).__name__}")
    return len(found), lambda start, stop: objects([as_entry(entry) for entry in found[start:stop]])


def mask_files(folder: Path) -> list[Path]:
    """List the images of a folder of masks in the order of their names."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def as_entry(entry: Any) -> Any:
    """Convert the lists of an entry of a .json or of a cell of a table to arrays."""
    if isinstance(entry, dict):
        return {key: as_entry(value) for key, value in entry.items()}
    return np.asarray(entry) if isinstance(entry, list) else entry


def read_mask(image: bytes | Path, where: str) -> Array:
    """Read class indices from the pixels of an image, (H, W).

    Raises:
        DataError: it is no image.
    """
    pil = load_extra("PIL.Image", "Pillow", "read images")
    try:
        with readable(), pil.open(image if isinstance(image, Path) else io.BytesIO(image)) as file:
            return np.asarray(file if file.mode in {"P", "L", "I", "I;16", "1"} else file.convert("L"))
    except (UnreadableError, pil.DecompressionBombError) as error:
        raise DataError(f"{where}: expected an image, got one that cannot be decoded ({error})") from error


def _stacked(rows: list[Array]) -> Array:
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else objects(list(rows))
