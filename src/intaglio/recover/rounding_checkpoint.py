"""What a long algorithm has found so far, layer by layer, in a file: an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import UsageError
from intaglio.files import differing_settings, whole_file
from intaglio.files.reading import UnreadableError, parse_json, read_npz, readable

Setting = str | int | float | list[float]


class Checkpoint:
    """Arrays by layer name in a .npz, written anew after each layer; it is always whole.

    Args:
        path: of the file; None keeps everything in memory only.
        settings: all that the result depends on, by name.
    Raises:
        UsageError: the file is none of this kind, was made under other settings (which ones is said), or cannot be
            written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: Mapping[str, Setting]) -> None:
        self.path = None if path is None else Path(path)
        self.settings = json.loads(json.dumps(dict(settings)))
        self.arrays: dict[str, NDArray[Any]] = {}
        if self.path is not None and self.path.exists():
            self._load(self.path)

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep what was found for some layers; all of it or nothing is in the file."""
        self.arrays.update(arrays)
        if self.path is None:
            return
        told = {"settings": self.settings, "names": list(self.arrays), "digest": _digest(self.settings, self.arrays)}
        header = np.frombuffer(json.dumps(told).encode(), np.uint8)
        numbered = {f"array{i}": a for i, a in enumerate(self.arrays.values())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as written, written.open("wb") as file:
                np.savez_compressed(file, header=header, **numbered)  # type: ignore[arg-type]
        except OSError as error:
            raise UsageError(
                f"{self.path}: expected to write a checkpoint here, got: {error.strerror or error}"
            ) from None

    def _load(self, path: Path) -> None:
        try:
            file = read_npz(path)
            with readable():
                header = parse_json(file["header"].tobytes())
                found = dict(header["settings"])
                self.arrays = {str(name): file[f"array{i}"] for i, name in enumerate(header["names"])}
                if header["digest"] != _digest(found, self.arrays):
                    raise ValueError("its contents have changed since it was written")
        except UnreadableError as error:
            raise UsageError(f"{path}: expected a checkpoint, got: {error}; give another file") from None
        other = differing_settings(found, self.settings)
        if other:
            raise UsageError(
                f"{path}: this checkpoint was made under other settings: {other}. Go on with the same ones, "
                "or give another file"
            )


def _digest(settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of all that a checkpoint holds: what the zip's own checksums leave out counts as well."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
