"""How a checkpoint's contents stand in a file: as JSON, or as NumPy arrays with a JSON header."""

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
    """Writes contents, and reads them back without running code."""

    def write(self, path: Path, contents: Contents) -> None:
        """Write them.

        Raises:
            OSError: that cannot be done.
        """

    def read(self, path: Path) -> Contents:
        """Read them.

        Raises:
            UnreadableError: no such file, or another kind of file.
        """


class Json:
    """Contents that are plain data, as a JSON object."""

    def write(self, path: Path, contents: Contents) -> None:
        """See `Encoding`."""
        path.write_text(json.dumps(contents, indent=1, allow_nan=False), encoding="utf-8")

    def read(self, path: Path) -> Contents:
        """See `Encoding`."""
        with readable():
            return dict(read_json(path).items())


class Arrays:
    """Arrays as members of a .npz, the rest as JSON in its member `header`, which has a checksum of everything."""

    def write(self, path: Path, contents: Contents) -> None:
        """See `Encoding`."""
        arrays = {name: value for name, value in contents.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in contents.items() if name not in arrays}
        text = json.dumps({**plain, _CHECKSUM: _checksum(plain, arrays)})
        with path.open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    def read(self, path: Path) -> Contents:
        """See `Encoding`."""
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
