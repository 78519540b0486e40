"""Show a progress bar with the remaining time for steps longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 2.0  # seconds before a bar is shown, so that short steps show none
_active = False  # whether a bar is shown; nested bars stay hidden


def progress(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Yield the items and show the progress on standard error.

    Shows nothing if standard error is not a terminal, rich is not installed, or another bar is shown.

    Args:
        iterable: the items.
        total: number of items, if `len(iterable)` is unknown.
        label: description of the work.
    """
    global _active
    if _active or not sys.stderr.isatty():
        yield from iterable
        return
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]  # TypeError if it has no length
        except TypeError:
            total = None
    bar = None
    begin = time.monotonic()
    try:
        for done, item in enumerate(iterable, start=1):
            yield item
            if bar is None and not _active and time.monotonic() - begin > PATIENCE:
                bar = _bar()
                if bar is not None:
                    _active = True
                    bar.start()
                    task = bar.add_task(label, total=total)
            if bar is not None:
                bar.update(task, completed=done)
    finally:
        if bar is not None:
            bar.stop()
            _active = False


def _bar() -> Any:
    """Create a rich progress bar; None if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
