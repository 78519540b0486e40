"""Checkpoints: files from which an interrupted run goes on, and what they belong to.

A checkpoint says which network, data and settings its contents come from. It is written whole, and taken up again only
where all of these are the same; otherwise one sentence says what differs and what to do. Each algorithm that has one
declares a `CheckpointKind`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from intaglio.errors import IntaglioError, UsageError
from intaglio.files.encodings import Contents, Encoding
from intaglio.files.reading import UnreadableError, readable
from intaglio.files.whole import temporary_folder, whole_file

T = TypeVar("T")
Settings = Mapping[str, Any]
_INSTEAD = "delete it to begin anew, or give another path"


def run_fingerprint(network: str, data: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """All that the results of a run depend on, by the names that people read.

    Args:
        network: its `graph_fingerprint`.
        data: the fingerprint of each data set that is read.
        settings: everything else, as plain data.
    """
    found = {"network": network, **data, **settings}
    assert len(found) == 1 + len(data) + len(settings), "two facts of one name"
    return found


@dataclass(frozen=True)
class CheckpointKind:
    """Checkpoints of one algorithm.

    Args:
        words: what such a file is, for sentences.
        format, version: as the file states them.
        encoding: how contents become a file.
        error: raised where a file is refused or cannot be written.
    """

    words: str
    format: str
    version: int
    encoding: Encoding
    error: type[IntaglioError] = UsageError

    def write(self, path: str | os.PathLike[str], belongs_to: Settings, state: Mapping[str, Any]) -> None:
        """Write a file; the one before stays until the new one is whole. Folders above it are made.

        Args:
            path: of the file.
            belongs_to: see `run_fingerprint`.
            state: the rest of its contents.
        Raises:
            IntaglioError: of the class `error`: it cannot be written.
        """
        path = Path(path)
        contents = {"format": self.format, "version": self.version, "settings": _plain(belongs_to), **state}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as written:
                self.encoding.write(written, contents)
        except OSError as error:
            raise self._not_writable(path, error) from None

    def read(self, path: str | os.PathLike[str], parse: Callable[[Contents], T]) -> tuple[dict[str, Any], T]:
        """Read a file.

        Args:
            path: of the file.
            parse: makes something of its state; whatever it raises because of wrong contents refuses the file.
        Returns:
            What the file belongs to, and what `parse` made.
        Raises:
            IntaglioError: of the class `error`: no such file, another kind of file, another version, damaged.
        """
        try:
            contents = self.encoding.read(Path(path))
            with readable():
                form, version = contents.pop("format", None), contents.pop("version", None)
                if form != self.format:
                    raise ValueError(f"a file of the format {form!r:.40}, not {self.format!r}")
                if version == self.version:
                    return _plain(contents.pop("settings")), parse(contents)
        except UnreadableError as error:
            raise self.error(f"{path}: expected {self.words}, got something else ({error}); {_INSTEAD}") from None
        raise self.error(
            f"{path}: expected {self.words} of version {self.version}, got version {version!r:.40}, which another "
            f"release of intaglio wrote; {_INSTEAD}"
        )

    def check_writable(self, path: Path) -> None:
        """Refuse a path that cannot be written, before any work is done.

        Raises:
            IntaglioError: of the class `error`: it cannot.
        """
        try:
            if path.is_dir():
                raise IsADirectoryError(21, "it is a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary_folder(path.parent):
                pass
        except OSError as error:
            raise self._not_writable(path, error) from None

    def _not_writable(self, path: Path, error: OSError) -> IntaglioError:
        reason = error.strerror or error
        return self.error(f"{path}: expected to write {self.words} here, got: {reason}; give another path")


class Checkpoint:
    """The file of one run.

    Args:
        kind: whose checkpoint it is.
        path: of the file; None: nothing is kept.
        belongs_to: see `run_fingerprint`.
    """

    def __init__(self, kind: CheckpointKind, path: str | os.PathLike[str] | None, belongs_to: Settings) -> None:
        self.kind, self.path = kind, None if path is None else Path(path)
        self.belongs_to = _plain(belongs_to)

    def load(self, parse: Callable[[Contents], T]) -> T | None:
        """What an earlier run has left; None where there is no file.

        Args:
            parse: see `CheckpointKind.read`.
        Raises:
            IntaglioError: of the kind's class: the file cannot be taken up, or belongs to another run.
        """
        state, differences = self.compare(parse)
        if differences:
            told = "; ".join(f"{name} was {before}, now {now}" for name, (before, now) in differences.items())
            raise self.kind.error(
                f"{self.path}: expected {self.kind.words} with these settings, got one of other settings: {told}. "
                f"Go on with the same network, data and settings, {_INSTEAD}"
            )
        return state

    def compare(self, parse: Callable[[Contents], T]) -> tuple[T | None, dict[str, tuple[Any, Any]]]:
        """What an earlier run has left, and in what it differs from this one: (before, now) by name."""
        if self.path is None or not self.path.exists():
            return None, {}
        before, state = self.kind.read(self.path, parse)
        pairs = {n: (before.get(n, "absent"), self.belongs_to.get(n, "absent")) for n in {**self.belongs_to, **before}}
        return state, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file.

        Raises:
            IntaglioError: of the kind's class: it cannot be written.
        """
        if self.path is not None:
            self.kind.write(self.path, self.belongs_to, state)


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings as they come back from a file: tuples are lists."""
    found: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return found
