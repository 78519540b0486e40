"""Output folders that appear whole or not at all, and belong to one run at a time."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from intaglio.errors import ExportError
from intaglio.files import TEMPORARY_PREFIX, move_files, temporary_folder

LOCK = ".lock"


@contextmanager
def whole_folder(target: Path, rank: int = 0) -> Iterator[Path]:
    """Files written into the folder that is yielded are moved to `target` when all of them are there.

    Args:
        target: made where it is not there, and gone again where nothing came to be in it.
        rank: of several processes only 0 owns the folder; the others get `target` itself, and write nothing.
    Raises:
        ExportError: the folder cannot be made or written, or another run is at work in it; said before any work.
    """
    if rank != 0:
        yield target
        return
    made = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with open(target / LOCK, "a", encoding="ascii") as lock:
            _take(lock, target)
            for left in target.glob(f"{TEMPORARY_PREFIX}*"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            try:
                with temporary_folder(target) as temporary:
                    yield temporary
                    move_files(temporary, target)
            finally:
                (target / LOCK).unlink(missing_ok=True)
                if made:
                    with suppress(OSError):  # something is in it
                        target.rmdir()
    except OSError as error:
        if not is_of_folder(error, target):
            raise
        raise ExportError(
            f"{target}: expected a folder that can be written, got: {error.strerror or error}; choose another with -o"
        ) from error


def is_of_folder(error: OSError, folder: Path) -> bool:
    """Whether an error comes of writing into a folder, and not of another file that was used meanwhile."""
    if error.filename is None:  # as when what was opened is written to
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return Path(os.fsdecode(error.filename)).absolute().is_relative_to(folder.absolute())


def _take(lock: IO[str], target: Path) -> None:
    """Lock a file for as long as it is open; the system lets go of it when a process dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ExportError(
            f"{target}: expected an output folder of our own, got one in which another run is at work; wait for it, or "
            "choose another with -o"
        ) from None
