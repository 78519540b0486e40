"""Makes the helpers beside the tests importable."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load(file: str) -> None:
    name = f"intaglio_tests_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{file}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_load("dialect")  # test files import from intaglio_tests_dialect
_load("architectures")  # and so on
_load("engines")
