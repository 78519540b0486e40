"""What a search has measured so far, in a file: an interrupted search measures nothing twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from intaglio.errors import UsageError
from intaglio.files import differing_settings, whole_file
from intaglio.files.reading import UnreadableError, check_types, read_json, readable

FORMAT, VERSION = "intaglio-attempts", 1
_NUMBER = (int, float)
_TYPES = {"stage": str, "name": str, "score": (*_NUMBER, type(None)), "agreement": (*_NUMBER, type(None)),
          "seconds": _NUMBER, "error": str}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One recipe and what it reached.

    Args:
        stage: of the search.
        name: of the attempt, unique.
        score: of the integer program; None where there is none.
        agreement: percent of samples with the float network's prediction; None where that has no meaning.
        seconds: that it took.
        error: why there is no program.
    """

    stage: str
    name: str
    score: float | None = None
    agreement: float | None = None
    seconds: float = 0.0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class AttemptFile:
    """Attempts by name in a JSON file, which is written anew after each.

    Args:
        path: of the file; None keeps everything in memory only.
        settings: all that the results depend on, by name.
    Raises:
        UsageError: the file is none of this kind, was made under other settings (which ones is said), or cannot be
            written.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, json.loads(json.dumps(dict(settings)))
        self.attempts: dict[str, Attempt] = {}
        if path is not None and path.exists():
            self._read(path)

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt."""
        self.attempts[attempt.name] = attempt
        if self.path is None:
            return
        rows = [a.to_json() for a in self.attempts.values()]
        data = {"format": FORMAT, "version": VERSION, "settings": self.settings, "attempts": rows}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as written:
                written.write_text(json.dumps(data, indent=1, allow_nan=False), encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{self.path}: expected to write attempts here, got: {error.strerror or error}; choose another folder"
            ) from None

    def _read(self, path: Path) -> None:
        try:
            data = read_json(path)
            with readable():
                if data["format"] != FORMAT or data["version"] != VERSION:
                    raise ValueError(f"its format is {data['format']} {data['version']}")
                found = dict(data["settings"])
                for row in data["attempts"]:
                    check_types(row, _TYPES)
                self.attempts = {row["name"]: Attempt(**row) for row in data["attempts"]}
        except UnreadableError as error:
            raise UsageError(
                f"{path}: expected what an interrupted search left, got something else ({error}); delete it, or "
                "choose another folder"
            ) from None
        other = differing_settings(found, self.settings)
        if other:
            raise UsageError(
                f"{path}: the interrupted search had other settings: {other}. Go on with the same ones, "
                "delete the file to begin anew, or choose another folder"
            )
