"""Packages that can be called: a public function and a package have the same name, as `intaglio.targets` does.

Python sets the attribute `targets` of `intaglio` to the package whenever something imports it, so a function of that
name would be lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def make_callable(package: str, function: Callable[..., Any]) -> None:
    """Let a call of a package call a function; `inspect.signature` and `inspect.unwrap` see the function too."""

    class CallablePackage(ModuleType):
        __wrapped__ = staticmethod(function)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
