"""File of a search's results so far, so that an interrupted search resumes without measuring again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class FloatResult:
    """What the float network gives on the evaluation data.

    Args:
        score: its score.
        samples: number of samples.
        predictions: index of the largest output, (samples,).
    """

    score: float
    samples: int
    predictions: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"score": self.score, "samples": self.samples, "predictions": self.predictions.tolist()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FloatResult:
        """Read what `to_json` returned.

        Raises:
            UnreadableError, ValueError: other contents.
        """
        check_types(data, {"score": _NUMBER, "samples": int, "predictions": list})
        predictions = np.array(data["predictions"], np.int64)
        if predictions.shape != (data["samples"],):
            raise ValueError(f"predictions of shape {predictions.shape} for {data['samples']} samples")
        return cls(data["score"], data["samples"], predictions)


class AttemptFile:
    """Attempts by name, and the float network's result, in a JSON file, which is rewritten after each attempt.

    Args:
        path: the file; None: keep attempts in memory only.
        belongs_to: everything that the results depend on (see `files.run_fingerprint`).
    Raises:
        UsageError: see `files.Checkpoint`.
    """

    def __init__(self, path: Path | None, belongs_to: Mapping[str, Any]) -> None:
        self._checkpoint = Checkpoint(ATTEMPTS, path, belongs_to)
        self.attempts: dict[str, Attempt]
        self.float_result: FloatResult | None
        self.attempts, self.float_result = self._checkpoint.load(_results) or ({}, None)

    def add(self, attempt: Attempt) -> None:
        """Add an attempt and write the file."""
        self.attempts[attempt.name] = attempt
        self._save()

    def keep_float(self, result: FloatResult) -> None:
        """Keep the float network's result and write the file."""
        self.float_result = result
        self._save()

    def _save(self) -> None:
        real = None if self.float_result is None else self.float_result.to_json()
        self._checkpoint.save({"float": real, "attempts": [a.to_json() for a in self.attempts.values()]})


def _results(contents: Contents) -> tuple[dict[str, Attempt], FloatResult | None]:
    for row in contents["attempts"]:
        check_types(row, _TYPES)
    real = contents.get("float")
    attempts = {row["name"]: Attempt(**row) for row in contents["attempts"]}
    return attempts, None if real is None else FloatResult.from_json(real)
