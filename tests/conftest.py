"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one core per worker: BLAS threads of several workers only hinder each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # after the line above: it reads OMP_NUM_THREADS when it is imported


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with data and trained models that are too large for the repository, or a skip that says so."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("INTAGLIO_DATA", default))
    if not path.is_dir():
        pytest.skip(f"needs test data: {path} does not exist; set INTAGLIO_DATA to the folder that holds it")
    return path


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of its own for each test. pytest shows the line printed here when the test fails."""
    seed = int(os.environ.get("INTAGLIO_SEED", zlib.crc32(request.node.nodeid.encode())))
    print(f"to repeat with these random numbers: INTAGLIO_SEED={seed}")
    return np.random.default_rng(seed)
