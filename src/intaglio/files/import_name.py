"""Import a user's Python object from `package.module:name`, as a command line names it."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from intaglio.errors import UsageError


def import_name(specification: str, wanted: str = "name") -> Any:
    """Import a module from the current folder or the Python path, and return an object of it. This runs its code.

    Args:
        specification: "package.module:name"; the name may have dots: "module:Class.method".
        wanted: what is expected after the colon, for error messages.
    Raises:
        UsageError: the module cannot be imported, or it has no such name.
    """
    package, separator, name = specification.partition(":")
    if not separator or not package or not name:
        raise UsageError(f"{specification}: expected package.module:{wanted}, got no name on one side of the colon")
    found = _imported(package, specification)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{specification}: expected '{part}' in {package}, got no such name")
        found = getattr(found, part)
    return found


def _imported(package: str, specification: str) -> Any:
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(package)
    except Exception as error:
        raise UsageError(
            f"{specification}: expected to import '{package}' from {here} or the Python path, got: {error!r}"
        ) from error
    finally:
        if added:
            sys.path.remove(here)
