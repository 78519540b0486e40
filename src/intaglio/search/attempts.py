"""What a search has measured so far, in a file: an interrupted search measures nothing twice."""

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
        belongs_to: all that the results depend on (see `files.run_fingerprint`).
    Raises:
        UsageError: see `files.Checkpoint`.
    """

    def __init__(self, path: Path | None, belongs_to: Mapping[str, Any]) -> None:
        self._checkpoint = Checkpoint(ATTEMPTS, path, belongs_to)
        self.attempts: dict[str, Attempt] = self._checkpoint.load(_attempts) or {}

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt."""
        self.attempts[attempt.name] = attempt
        self._checkpoint.save({"attempts": [a.to_json() for a in self.attempts.values()]})


def _attempts(contents: Contents) -> dict[str, Attempt]:
    for row in contents["attempts"]:
        check_types(row, _TYPES)
    return {row["name"]: Attempt(**row) for row in contents["attempts"]}
