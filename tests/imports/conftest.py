"""What the tests of quantized files share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]


def _load(name: str, file: str) -> None:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _TESTS / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


# Test files import from these names.
_load("intaglio_tests_qdq_net", "export/qdq_net.py")
_load("intaglio_tests_operator_nets", "ops/conftest.py")
_load("intaglio_tests_operator_cases", "ops/test_operators.py")
