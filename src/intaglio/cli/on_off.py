"""Options that are switched on by `--name` and off by `--no-name`."""

from __future__ import annotations

import argparse
from typing import Any


class OnOff(argparse.BooleanOptionalAction):
    """The same on every Python: those before 3.13 write the default behind a help text that has it already."""

    def __init__(self, *args: Any, help: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = help
