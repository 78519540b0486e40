"""Read folders of files: a folder of files for each class, or files only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import Chunk, Shapes
from intaglio.errors import DataError


class LabelledFiles:
    """Directory of class folders with files; or of files only, then without labels.

    The sorted folder names are the classes 0, 1, ..., unless `classes` names them. Samples take one file of each class
    in turn, so that any prefix is balanced.
    """

    once = False
    preprocess: Callable[[Path, str], npt.NDArray[Any]]

    def __init__(
        self,
        path: Path,
        suffixes: set[str],
        expected: str,
        *,
        labels: bool = True,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.name = str(path)
        folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        self.class_names = classes or tuple(p.name for p in folders) or None
        numbers = {name: number for number, name in enumerate(self.class_names or ())}
        for folder in folders:
            if folder.name not in numbers:
                raise DataError(
                    f"{folder}: expected the name of a class, one of {len(numbers)} such as "
                    f"{next(iter(numbers))!r}, got {folder.name!r}; rename the folder, or leave the class names out"
                )
        found = [(numbers[p.name], _files(p, suffixes)) for p in folders] or [(0, _files(path, suffixes))]
        turns = zip_longest(*(files for _, files in found))
        rows = [(file, n) for turn in turns for (n, _), file in zip(found, turn, strict=True) if file is not None]
        if not rows:
            raise DataError(f"{path}: no samples. Expected {expected}.")
        self.files: Sequence[Path] = [file for file, _ in rows]
        self.y = np.array([label for _, label in rows], dtype=np.int64) if folders and labels else None

    def count(self, shapes: Shapes | None) -> int:
        return len(self.files)

    def labels(self) -> npt.NDArray[np.int64] | None:
        return self.y

    def chunks(self, start: int, stop: int | None, shapes: Shapes | None) -> Iterator[Chunk]:
        stop = len(self.files) if stop is None else min(stop, len(self.files))
        for i in range(start, stop):
            x = self.preprocess(self.files[i], str(self.files[i]))
            yield Chunk((x[None],), None, None if self.y is None else self.y[i : i + 1])


def _files(folder: Path, suffixes: set[str]) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
