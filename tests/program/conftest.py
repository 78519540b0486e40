"""Small Programs, as fixtures."""

from __future__ import annotations

import pytest
from intaglio_tests.programs import make_single_sample_program, make_small_program

from intaglio.program import Program


@pytest.fixture
def small_program() -> Program:
    return make_small_program()


@pytest.fixture
def single_sample_program() -> Program:
    return make_single_sample_program()
