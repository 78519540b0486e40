"""Import optional libraries when they are needed, with an error that says how to install them."""

from __future__ import annotations

import importlib
from types import ModuleType

from intaglio.errors import UsageError


def load_extra(module: str, package: str, purpose: str) -> ModuleType:
    """Import a module of the extra `quantize`.

    Args:
        module: module name, such as "PIL.Image".
        package: package name for the message, such as "Pillow".
        purpose: what it is needed for, such as "read images".

    Raises:
        UsageError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{package} is needed to {purpose} and is not installed. Install it with: pip install 'intaglio[quantize]'"
        ) from error
