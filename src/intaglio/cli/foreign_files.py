"""Output folders: files of earlier results are replaced, files of somebody else are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from intaglio.errors import ExportError

_HEAD = 4096  # bytes of a file in which its mark stands
RESULT_MARKS = {"model.intaglio": b'"intaglio"', "plan.json": b'"format": "intaglio-plan"'}
"""What identifies the results of `quantize` and `train`, by file."""
RESULTS = (
    *RESULT_MARKS,
    "model.qdq.onnx",
    "model.tflite",
    "tail.onnx",
    "report.html",
    "summary.json",
    "model_explorer.json",
)
"""Files that `quantize` and `train` write."""


def results_but(model: str, target: Path) -> list[str]:
    """List the names of results without that of the model, which may be a result of an earlier run."""
    return [name for name in RESULTS if (target / name).resolve() != Path(model).resolve()]


def refuse_foreign(target: Path, names: Iterable[str], marks: Mapping[str, bytes]) -> None:
    """Refuse to replace a file that no earlier run wrote.

    A file with a mark is recognized by it; one without is taken for ours if a marked file stands beside it.

    Args:
        target: the output folder, which may be missing.
        names: paths in it of the files to write.
        marks: by path: a pattern near the beginning of each file of that name that Intaglio writes.
    Raises:
        ExportError: naming the first such file.
    """
    ours = any(_has(target / name, mark) for name, mark in marks.items())
    for name in names:
        path = target / name
        if path.exists() and not (_has(path, marks[name]) if name in marks else ours):
            raise ExportError(
                f"{path}: expected no file, or that of an earlier run, got another file, which would be overwritten; "
                "move it, or choose another folder with -o"
            )


def _has(path: Path, mark: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return re.search(mark, file.read(_HEAD)) is not None
