"""The road from a small network to its Program, as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from intaglio_tests.operator_nets import Lowered, lowered, model


@pytest.fixture(name="model", scope="session")
def _model() -> Callable[..., onnx.ModelProto]:
    return model


@pytest.fixture(name="lowered", scope="session")
def _lowered() -> Callable[..., Lowered]:
    return lowered
