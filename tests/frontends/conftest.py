"""The builder of small networks, as a fixture."""

from __future__ import annotations

from types import ModuleType

import intaglio_tests.onnx_net
import pytest


@pytest.fixture
def onnx_net() -> ModuleType:
    """Builder and runtime for small networks."""
    return intaglio_tests.onnx_net
