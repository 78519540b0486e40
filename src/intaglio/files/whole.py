"""Files and folders that appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".intaglio-"
"""Of temporary folders; a run that is killed leaves one behind, which nothing reads."""


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent`, gone when the block ends.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, which takes the place of `target` when the block ends without an error.

    What else the block writes beside that path (weights too large for the file itself) is moved beside `target` first.

    Args:
        target: its folder has to exist; what stood under the name before stays until then.
    Yields:
        A path of the same name in a folder beside it.
    Raises:
        OSError: it cannot be written; the caller says what it was for.
    """
    target = Path(target)
    with temporary_folder(target.parent) as folder:
        written = folder / target.name
        yield written
        for other in sorted(folder.iterdir()):
            if other != written:
                os.replace(other, target.with_name(other.name))
        os.replace(written, target)


def move_files(source: Path, target: Path) -> None:
    """Move every file below `source` to the same place below `target`, over what is there.

    Raises:
        OSError: one cannot be moved.
    """
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)


@contextmanager
def whole_tree(target: Path, *, keep: bool = False) -> Iterator[Path]:
    """A folder to write to, which becomes `target` when the block ends without an error.

    Args:
        target: folders above it are made.
        keep: where `target` is there by then, it stays as it is. Otherwise its files of the same names are replaced.
    Raises:
        OSError: it cannot be made or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(target.parent) as folder:
        yield folder
        folder.chmod(0o777 & ~_umask())
        if target.exists() and not keep:
            move_files(folder, target)
            return
        try:
            os.rename(folder, target)
        except OSError:
            if not (keep and target.is_dir()):  # otherwise another process was faster
                raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
