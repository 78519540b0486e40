"""Fixtures of the whole suite, the seeds of its random numbers, and a summary of what could not be tested here."""

from __future__ import annotations

import ctypes
import functools
import os
import random
import sys
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one core per worker: BLAS threads of several workers only hinder each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["COLUMNS"] = "100"  # lines are folded alike in a terminal, a worker and a pipe

import numpy as np  # after the lines above: it reads OMP_NUM_THREADS when it is imported

hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")


# -- random numbers ----------------------------------------------------------------------------------------------------


def _seed(name: str) -> None:
    """Seed every global generator from a name, so that no test depends on those that ran before it."""
    seed = int(os.environ.get("INTAGLIO_SEED", zlib.crc32(name.encode())))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries may draw from it
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@contextmanager
def _states_kept() -> Iterator[None]:
    """Leave the global generators as they were."""
    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(states[2])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test has random numbers of its own."""
    _keep_translations()
    _seed(item.nodeid)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """What several tests share does not depend on which of them runs first."""
    if fixturedef.scope == "function":
        return (yield)
    with _states_kept():
        _seed(f"{fixturedef.baseid}::{fixturedef.argname}[{request.param_index}]")
        return (yield)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of its own for each test. pytest shows the line printed here when the test fails."""
    seed = int(os.environ.get("INTAGLIO_SEED", zlib.crc32(request.node.nodeid.encode())))
    print(f"to repeat with these random numbers: INTAGLIO_SEED={seed}")
    return np.random.default_rng(seed)


# -- the exporter of PyTorch -------------------------------------------------------------------------------------------

_REGISTRY = "torch.onnx._internal.exporter._registration"


def _keep_translations() -> None:
    """Let torch.onnx.export read its translations once for each process.

    It parses the source of some 500 functions in every call, which takes a second. The table does not depend on the
    module that is exported. Versions of PyTorch that have no such class are left alone.
    """
    registry = getattr(sys.modules.get(_REGISTRY), "ONNXRegistry", None)
    make = getattr(registry, "from_torchlib", None)
    if make is not None and not hasattr(make, "cache_info"):
        registry.from_torchlib = staticmethod(functools.cache(make))  # type: ignore[union-attr]


# -- the machine -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with data and trained models that are too large for the repository, or a skip that says so."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("INTAGLIO_DATA", default))
    if not path.is_dir():
        pytest.skip(f"needs test data: {path} does not exist; set INTAGLIO_DATA to the folder that holds it")
    return path


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@pytest.fixture
def obeys_permissions() -> Iterator[None]:
    """Permissions of files count for root too: its power to override them is laid down for the test (Linux)."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _CapHeader(0x20080522, 0), (_CapData * 2)()
    if not hasattr(libc, "capset") or libc.capget(ctypes.byref(header), data) != 0:
        pytest.skip("needs a user other than root: this system has no capabilities to lay down")
    before = data[0].effective
    data[0].effective = before & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(ctypes.byref(header), data) == 0, os.strerror(ctypes.get_errno())
    yield
    data[0].effective = before
    assert libc.capset(ctypes.byref(header), data) == 0, os.strerror(ctypes.get_errno())


# -- what was not tested -----------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested for lack of which tool, with the number of tests."""
    lacking = Counter(
        reason
        for report in terminalreporter.stats.get("skipped", [])
        if (reason := _reason(report)).startswith("needs ")
    )
    if lacking:
        terminalreporter.section("not tested here, for lack of a tool, data or processor")
        for reason, count in sorted(lacking.items(), key=lambda row: (-row[1], row[0])):
            terminalreporter.write_line(f"{count:5} {'test ' if count == 1 else 'tests'}  {reason}")


def _reason(report: Any) -> str:
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
