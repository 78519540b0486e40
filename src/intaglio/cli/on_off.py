"""Options that `--name` switches on and `--no-name` switches off."""

from __future__ import annotations

import argparse
from typing import Any


class OnOff(argparse.BooleanOptionalAction):
    """Boolean option whose help text is taken as it is: Python before 3.13 appends the default to it again."""

    def __init__(self, *args: Any, help: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.help = help
