"""Import optional libraries when they are needed, with an error that says how to install them."""

from __future__ import annotations

import importlib
from types import ModuleType

from intaglio.errors import UsageError


def load_extra(module: str, package: str, purpose: str, extra: str = "quantize") -> ModuleType:
    """Import a module of an extra.

    Args:
        module: module name, such as "PIL.Image".
        package: package name for the message, such as "Pillow".
        purpose: what it is needed for, such as "read images".
        extra: name of the extra that has it.

    Raises:
        UsageError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{package} is needed to {purpose} and is not installed. Install it with: pip install 'intaglio[{extra}]'"
        ) from error
