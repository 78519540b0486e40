"""Write files and folders atomically: under a temporary name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".intaglio-"
"""Prefix of temporary folders; a killed run leaves one behind, which nothing reads."""


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which is deleted at the end of the block.

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
    """Yield a path to write to, which replaces `target` when the block ends without an error.

    Other files written beside that path (such as external weights) are moved beside `target` first.

    Args:
        target: the file; its folder has to exist. An existing file stays until then.
    Yields:
        A path of the same name in a temporary folder.
    Raises:
        OSError: it cannot be written; the caller adds the purpose.
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
    """Move every file below `source` to the same place below `target`, replacing existing files.

    Raises:
        OSError: a file cannot be moved.
    """
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)


@contextmanager
def whole_tree(target: Path, *, keep: bool = False) -> Iterator[Path]:
    """Yield a folder to write to, which becomes `target` when the block ends without an error.

    Args:
        target: the folder; missing parents are created.
        keep: keep an existing `target` unchanged; otherwise its files of the same names are replaced.
    Raises:
        OSError: the folder cannot be created or written.
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
            if not (keep and target.is_dir()):  # with keep, another process has created it meanwhile
                raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
