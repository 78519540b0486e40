"""Options that have an effect only beside another one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from intaglio.errors import UsageError


def only_beside(args: argparse.Namespace, other: str, names: Iterable[str], *, given: bool) -> None:
    """Refuse options that would be ignored.

    Args:
        args: the arguments; an option that is absent is None.
        other: what the options belong to, such as `--eval DATA`.
        names: their names in `args`.
        given: whether the other is given.
    Raises:
        UsageError: one of them is given without the other.
    """
    for name in names:
        if getattr(args, name) is not None and not given:
            raise UsageError(f"--{name.replace('_', '-')}: expected {other} beside it, without which it has no effect")
