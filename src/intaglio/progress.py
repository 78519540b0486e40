"""A progress bar with the time left, for anything that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 2.0  # seconds without a bar: most steps are over by then, and a bar that flashes by helps nobody
_active = False  # a second bar inside the first one's loop stays silent


def progress(iterable: Iterable[T], total: int | None = None, label: str = "") -> Iterator[T]:
    """Pass the items on and show on standard error how far it is.

    Silent when standard error is no terminal, when rich is not installed, and inside another bar.

    Args:
        iterable: the steps.
        total: their number, if `len(iterable)` does not tell.
        label: what is being done, for people.
    """
    global _active
    if _active or not sys.stderr.isatty():
        yield from iterable
        return
    if total is None:
        try:
            total = len(iterable)  # type: ignore[arg-type]  # what has no length raises TypeError
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
    """A rich progress bar, or None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
