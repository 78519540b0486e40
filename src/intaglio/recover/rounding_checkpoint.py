"""Checkpoint of learned rounding, layer by layer, from which an interrupted run resumes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from intaglio.files import Checkpoint, CheckpointKind
from intaglio.files.encodings import Arrays, Contents

ROUNDING = CheckpointKind("a checkpoint of learned rounding", "intaglio-rounding", 1, Arrays())

ByName = dict[str, NDArray[Any]]


class RoundingCheckpoint:
    """Arrays by layer name in a .npz file, which is rewritten after each layer.

    Args:
        path: the file; None: keep arrays in memory only.
        belongs_to: everything that the result depends on (see `files.run_fingerprint`).
    Raises:
        UsageError: see `files.Checkpoint`.
    """

    def __init__(self, path: str | os.PathLike[str] | None, belongs_to: Mapping[str, Any]) -> None:
        self._checkpoint = Checkpoint(ROUNDING, path, belongs_to)
        self.arrays: ByName = self._checkpoint.load(_by_name) or {}

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the arrays of some layers and write the file."""
        self.arrays.update(arrays)
        numbered = {f"array{i}": array for i, array in enumerate(self.arrays.values())}
        self._checkpoint.save({"names": list(self.arrays), **numbered})


def _by_name(contents: Contents) -> ByName:
    return {str(name): contents[f"array{i}"] for i, name in enumerate(contents["names"])}
