"""What the tests of front ends share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    name = "intaglio_tests_onnx_net"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "graph" / "onnx_net.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load()  # test files import from intaglio_tests_onnx_net


@pytest.fixture
def onnx_net() -> ModuleType:
    """Builder and runtime for small networks."""
    return _load()
