"""Write output folders atomically, and lock them against a second run."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from intaglio.errors import ExportError, IntaglioError
from intaglio.files import TEMPORARY_PREFIX, move_files, temporary_folder

LOCK = ".lock"


@contextmanager
def whole_folder(target: Path, rank: int = 0, replaces: Iterable[str] = ()) -> Iterator[Path]:
    """Yield a temporary folder whose files are moved to `target` when the block ends without an error.

    Args:
        target: created if it is missing, and removed again if nothing was written into it.
        rank: of this process; only rank 0 owns the folder. Other ranks get `target` itself and must not write.
        replaces: names of files of an earlier run, which are removed where the block does not write them anew, so that
            the folder never holds results of two runs.
    Raises:
        ExportError: the folder cannot be created or written, or another run uses it; raised before any work is done.
    """
    if rank != 0:
        yield target
        return
    made = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with open(target / LOCK, "a", encoding="ascii") as lock:
            _take(lock, target)
            for left in target.glob(f"{TEMPORARY_PREFIX}*"):  # left by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            try:
                with temporary_folder(target) as temporary:
                    yield temporary
                    stale = [name for name in replaces if not (temporary / name).exists()]
                    move_files(temporary, target)
                    for name in stale:
                        (target / name).unlink(missing_ok=True)
            finally:
                (target / LOCK).unlink(missing_ok=True)
                if made:
                    with suppress(OSError):  # it is not empty
                        target.rmdir()
    except (OSError, IntaglioError) as error:
        raise_unwritable(error, target, target)
        raise


def raise_unwritable(error: BaseException, folder: Path, target: Path) -> None:
    """Raise an error that names the output folder, not a temporary one, if it cannot be written; else return.

    Args:
        error: what was raised while files were written; its cause counts, too.
        folder: where the temporary files are.
        target: the output folder.
    Raises:
        ExportError: the disk is full, or a file in `folder` cannot be written.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and is_of_folder(cause, folder):
        reason = cause.strerror or cause
        raise ExportError(
            f"{target}: expected a folder that can be written, got: {reason}; choose another with -o"
        ) from error


def is_of_folder(error: OSError, folder: Path) -> bool:
    """Return whether an error was caused by writing into this folder, not by another file."""
    if error.filename is None:  # write() to an open file names no file
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return Path(os.fsdecode(error.filename)).absolute().is_relative_to(folder.absolute())


def _take(lock: IO[str], target: Path) -> None:
    """Lock a file while it is open; the system releases the lock when the process dies."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ExportError(
            f"{target}: expected an output folder that no other run uses, got one in which another run is at work; "
            "wait for it, or choose another with -o"
        ) from None
