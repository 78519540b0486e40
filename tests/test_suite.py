"""The suite itself: random numbers have seeds, and a skip says what is lacking."""

from __future__ import annotations

import ast
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent
FILES = sorted(ROOT.rglob("*.py"))
SEEDED = {"Generator", "SeedSequence", "PCG64", "get_state", "set_state"}  # draw nothing by themselves
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "rand_like", "randn_like", "bernoulli", "empty"}


def calls(path: Path) -> Iterator[tuple[ast.Call, str, bool]]:
    """Calls with the dotted name of what is called, and whether they run when the file is imported."""

    def walk(node: ast.AST, at_import: bool) -> Iterator[tuple[ast.Call, str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, ast.unparse(child.func), at_import
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, at_import and not inside)

    yield from walk(ast.parse(path.read_text()), True)


def unseeded(call: ast.Call, name: str, at_import: bool) -> bool:
    """Whether a call draws what depends on the process, or on the tests that ran before."""
    first, _, last = name.rpartition(".")
    if last in ("default_rng", "RandomState"):
        return not call.args and not call.keywords
    if first in ("np.random", "numpy.random"):
        return last not in SEEDED
    return at_import and first == "torch" and last in DRAWS and not any(k.arg == "generator" for k in call.keywords)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_random_numbers_have_seeds(path: Path) -> None:
    if path.name == "conftest.py" and path.parent == ROOT:
        return  # it seeds the global generators
    bad = [f"line {call.lineno}: {name}" for call, name, at_import in calls(path) if unseeded(call, name, at_import)]
    assert not bad, f"{path}: give these a seed: {bad}"


def test_what_has_no_seed_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text(
        "a = np.random.default_rng()\nb = np.random.normal()\nc = torch.randn(3)\nd = np.random.default_rng(1)"
    )
    assert [call.lineno for call, name, at_import in calls(path) if unseeded(call, name, at_import)] == [1, 2, 3]


@pytest.mark.parametrize("_again", range(2))
def test_global_generators_begin_anew_for_each_test(request: pytest.FixtureRequest, _again: int) -> None:
    from zlib import crc32

    if request.config.pluginmanager.hasplugin("randomly"):
        pytest.skip("pytest-randomly sets seeds of its own")
    seed = int(os.environ.get("INTAGLIO_SEED", crc32(request.node.nodeid.encode())))
    want = random.Random(seed).random(), torch.randn((), generator=torch.Generator().manual_seed(seed))
    assert (random.random(), torch.randn(())) == want
    assert np.random.get_state()[1][0] == np.random.RandomState(seed).get_state()[1][0]  # noqa: NPY002


def test_root_obeys_permissions(obeys_permissions, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        (tmp_path / "locked" / "file").write_text("")


def test_skips_say_what_is_lacking() -> None:
    """`needs ...` is what the summary at the end counts; other reasons say why a case makes no sense."""
    for path in FILES:
        for call, name, _ in calls(path):
            if name == "pytest.importorskip":
                reason = next((k.value for k in call.keywords if k.arg == "reason"), None)
                assert isinstance(reason, ast.Constant), f"{path}:{call.lineno}: say what it needs as `reason`"
                assert str(reason.value).startswith("needs "), f"{path}:{call.lineno}: {reason.value}"
