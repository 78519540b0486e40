"""Output folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intaglio.errors import ExportError


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Files written into the folder that is yielded are moved to `target` when all of them are there.

    Raises:
        ExportError: the folder cannot be made or written. Said before any work is done.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".intaglio-", dir=target))
    except OSError as error:
        raise ExportError(
            f"{target}: expected a folder that can be written, got: {error.strerror or error}; choose another with -o"
        ) from error
    try:
        yield temporary
        for file in sorted(temporary.iterdir()):
            os.replace(file, target / file.name)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
