"""Encodings of checkpoints: JSON, or NumPy arrays with a JSON header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from intaglio.files.digest import Digest
from intaglio.files.reading import parse_json, read_json, read_npz, readable

Contents = dict[str, Any]
_CHECKSUM = "digest"


class Encoding(Protocol):
    """File encoding: writes contents, and reads them without running code."""

    def write(self, path: Path, contents: Contents) -> None:
        """Write contents.

        Raises:
            OSError: they cannot be written.
        """

    def read(self, path: Path) -> Contents:
        """Read contents.

        Raises:
            UnreadableError: the file is missing, damaged or of another kind.
        """


class Json:
    """Plain data as a JSON object."""

    def write(self, path: Path, contents: Contents) -> None:
        """Write contents as indented JSON."""
        path.write_text(json.dumps(contents, indent=1, allow_nan=False), encoding="utf-8")

    def read(self, path: Path) -> Contents:
        """Read a JSON object."""
        with readable():
            return dict(read_json(path).items())


class Arrays:
    """Arrays as members of a .npz; other data as JSON in its member `header`, with a checksum of everything."""

    def write(self, path: Path, contents: Contents) -> None:
        """Write arrays, header and checksum."""
        arrays = {name: value for name, value in contents.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in contents.items() if name not in arrays}
        text = json.dumps({**plain, _CHECKSUM: _checksum(plain, arrays)})
        with path.open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    def read(self, path: Path) -> Contents:
        """Read arrays and header, and verify the checksum."""
        with readable():
            arrays = read_npz(path)
            plain = dict(parse_json(arrays.pop("header").tobytes()).items())
            if plain.pop(_CHECKSUM, None) != _checksum(plain, arrays):
                raise ValueError("its contents have changed since it was written, or another version wrote it")
            return {**plain, **arrays}


def _checksum(plain: Contents, arrays: Contents) -> str:
    digest = Digest().text(json.dumps(plain, sort_keys=True))
    for name in sorted(arrays):
        digest.text(name).array(arrays[name])
    return digest.name()
