"""Makes the helpers beside the tests importable."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load(file: str, folder: Path = Path(__file__).parent) -> None:
    name = f"intaglio_tests_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, folder / f"{file}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


_load("plans")  # test files import from intaglio_tests_plans
_load("nets")  # and from intaglio_tests_nets
_load("mutants")  # and from intaglio_tests_mutants
for _file in ("boundaries", "harness"):  # and those of the kernels' tests
    _load(_file, Path(__file__).parents[1] / "kernels")
