"""Checkpoints: files from which interrupted runs resume.

A checkpoint stores the network, data and settings that its contents depend on. It is written atomically, and used again
only if all of these are the same; otherwise an error says what differs and what to do. Each algorithm with checkpoints
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
_INSTEAD = "delete it to start again, or give another path"


def run_fingerprint(network: str, data: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Collect everything that the results of a run depend on, by readable names.

    Args:
        network: `graph_fingerprint` of the network.
        data: fingerprint of each data set, by name.
        settings: everything else, as plain data.
    """
    found = {"network": network, **data, **settings}
    assert len(found) == 1 + len(data) + len(settings), "two facts of one name"
    return found


@dataclass(frozen=True)
class CheckpointKind:
    """Kind of checkpoint: that of one algorithm.

    Args:
        words: description for messages, such as "the attempts of an interrupted search".
        format, version: stored in the file and checked when it is read.
        encoding: file encoding.
        error: error class for files that are refused or cannot be written.
    """

    words: str
    format: str
    version: int
    encoding: Encoding
    error: type[IntaglioError] = UsageError

    def write(self, path: str | os.PathLike[str], belongs_to: Settings, state: Mapping[str, Any]) -> None:
        """Write a file atomically; missing folders are created.

        Args:
            path: the file.
            belongs_to: see `run_fingerprint`.
            state: the other contents.
        Raises:
            IntaglioError: (class `error`) the file cannot be written.
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
            path: the file.
            parse: converts the state; if it raises because of wrong contents, the file is refused.
        Returns:
            The settings that the file belongs to, and the result of `parse`.
        Raises:
            IntaglioError: (class `error`) the file is missing, damaged, or of another kind or version.
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
        """Check before any work that a path can be written.

        Raises:
            IntaglioError: (class `error`) it cannot be written.
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
    """Checkpoint file of one run.

    Args:
        kind: kind of checkpoint.
        path: the file; None: write no checkpoint.
        belongs_to: see `run_fingerprint`.
    """

    def __init__(self, kind: CheckpointKind, path: str | os.PathLike[str] | None, belongs_to: Settings) -> None:
        self.kind, self.path = kind, None if path is None else Path(path)
        self.belongs_to = _plain(belongs_to)

    def load(self, parse: Callable[[Contents], T]) -> T | None:
        """Read the state of an earlier run; None if there is no file.

        Args:
            parse: see `CheckpointKind.read`.
        Raises:
            IntaglioError: (class of the kind) the file cannot be read, or belongs to another run.
        """
        state, differences = self.compare(parse)
        if differences:
            changed = "; ".join(f"{name} was {before}, now {now}" for name, (before, now) in differences.items())
            raise self.kind.error(
                f"{self.path}: expected {self.kind.words} with these settings, got one of other settings: {changed}. "
                f"Use the same network, data and settings, {_INSTEAD}"
            )
        return state

    def compare(self, parse: Callable[[Contents], T]) -> tuple[T | None, dict[str, tuple[Any, Any]]]:
        """Read the state of an earlier run, and its differing settings: name -> (before, now)."""
        if self.path is None or not self.path.exists():
            return None, {}
        before, state = self.kind.read(self.path, parse)
        pairs = {n: (before.get(n, "absent"), self.belongs_to.get(n, "absent")) for n in {**self.belongs_to, **before}}
        return state, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the file.

        Raises:
            IntaglioError: (class of the kind) it cannot be written.
        """
        if self.path is not None:
            self.kind.write(self.path, self.belongs_to, state)


def _plain(settings: Settings) -> dict[str, Any]:
    """Convert settings to the form in which they are read from a file: tuples become lists."""
    found: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return found
