"""Files that appear whole or not at all, and settings under which they were written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, which takes the place of `target` when the block ends without an error.

    Args:
        target: its folder has to exist; what stood under the name before stays until then.
    Yields:
        A path of the same name in a folder beside it.
    Raises:
        OSError: it cannot be written; the caller says what it was for.
    """
    target = Path(target)
    with tempfile.TemporaryDirectory(prefix=".intaglio-", dir=target.parent) as folder:
        written = Path(folder) / target.name
        yield written
        os.replace(written, target)


def differing_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between the settings of an interrupted run and of this one, in words; empty where nothing does."""
    return "; ".join(
        f"{name} was {before.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in {**now, **before}
        if before.get(name) != now.get(name)
    )
