"""File of a search's results so far, so that an interrupted search resumes without measuring again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from intaglio.files import Checkpoint, CheckpointKind
from intaglio.files.encodings import Contents, Json
from intaglio.files.reading import check_types

ATTEMPTS = CheckpointKind("the attempts of an interrupted search", "intaglio-attempts", 2, Json())
_NUMBER = (int, float)
_TYPES = {"stage": str, "name": str, "score": (*_NUMBER, type(None)), "agreement": (*_NUMBER, type(None)),
          "seconds": _NUMBER, "error": str}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One measured recipe.

    Args:
        stage: stage of the search.
        name: unique name of the attempt.
        score: score of the integer program; None if it has none.
        agreement: percent of samples with the float network's prediction; None for metrics without classes.
        seconds: seconds that quantizing and measuring took.
        error: why there is no score.
    """

    stage: str
    name: str
    score: float | None = None
    agreement: float | None = None
    seconds: float = 0.0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class AttemptFile:
    """Attempts by name in a JSON file, which is rewritten after each attempt.

    Args:
        path: the file; None: keep attempts in memory only.
        belongs_to: everything that the results depend on (see `files.run_fingerprint`).
    Raises:
        UsageError: see `files.Checkpoint`.
    """

    def __init__(self, path: Path | None, belongs_to: Mapping[str, Any]) -> None:
        self._checkpoint = Checkpoint(ATTEMPTS, path, belongs_to)
        self.attempts: dict[str, Attempt] = self._checkpoint.load(_attempts) or {}

    def add(self, attempt: Attempt) -> None:
        """Add an attempt and write the file."""
        self.attempts[attempt.name] = attempt
        self._checkpoint.save({"attempts": [a.to_json() for a in self.attempts.values()]})


def _attempts(contents: Contents) -> dict[str, Attempt]:
    for row in contents["attempts"]:
        check_types(row, _TYPES)
    return {row["name"]: Attempt(**row) for row in contents["attempts"]}
