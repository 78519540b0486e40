"""Packages that can be called: a public function and a package have the same name, as `intaglio.targets` does.

Python sets the attribute `targets` of `intaglio` to the package whenever something imports it, so a function of that
name would be lost.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

Load: TypeAlias = Callable[[], Callable[..., Any]]


def make_callable(package: str, function: Callable[..., Any] | None = None, *, load: Load | None = None) -> None:
    """Let a call of a package call a function; `inspect.signature` and `inspect.unwrap` see the function too.

    Args:
        package: name of an imported package.
        function: the function.
        load: returns it when it is first needed, instead of `function`.
    """

    class CallablePackage(ModuleType):
        @property
        def __wrapped__(self) -> Callable[..., Any]:
            if function is not None:
                return function
            assert load is not None
            return load()

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.__wrapped__(*args, **kwargs)

    sys.modules[package].__class__ = CallablePackage
