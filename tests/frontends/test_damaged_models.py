"""Whatever a file says: `load`, the float engine, `quantize` and `lower` do it, or refuse it with one of our errors."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests import damage

import intaglio as ig
from intaglio.errors import IntaglioError
from intaglio.graph.access import shape
from intaglio.simulate import Simulator

SECONDS = 120  # of one file, far beyond what any of these takes


@contextmanager
def no_hang() -> Iterator[None]:
    """Fail instead of waiting for ever."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"still at it after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def use(kind: str, path: Path, rng: np.random.Generator) -> None:
    """All that people do with a file."""
    if kind == "quantized":
        ig.load_quantized(path).lower()
        return
    graph = ig.load(path)
    sizes = {str(v.name): shape(v) for v in graph.inputs}
    x = {
        n: rng.standard_normal((4, *size[1:]) if size[:1] == (1,) else size).astype(np.float32)
        for n, size in sizes.items()
    }
    Simulator(graph, device="cpu").run(*x.values())
    ig.quantize(graph, x, calibrator="max", equalize=False, bias_correction=False).lower()


def survive(kind: str, content: bytes, path: Path, seed: int) -> bool:
    """Use a file; whether it was refused. Any other exception than ours is a failure that names seed and kind."""
    path.write_bytes(content)
    try:
        with no_hang(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers of a damaged model may overflow
            use(kind, path, np.random.default_rng(seed))
    except IntaglioError as error:
        assert str(error)
        return True
    except Exception as error:
        raise AssertionError(f"damage {seed} of {kind}: {type(error).__name__}: {error}") from error
    return False


def survive_all(seeds: range, how: str, path: Path) -> int:
    """How many of the damaged files are refused."""
    models = {kind: make().model() for kind, make in damage.MODELS.items()}
    refused = 0
    for seed in seeds:
        kind = list(models)[seed % len(models)]
        rng = np.random.default_rng(seed)
        content = (
            damage.damaged_bytes(models[kind], rng)
            if how == "bytes"
            else damage.damaged(models[kind], rng).SerializeToString()
        )
        refused += survive(kind, content, path, seed)
    return refused


@pytest.mark.parametrize("kind", damage.MODELS)
def test_what_is_not_damaged_is_accepted(kind: str, tmp_path: Path) -> None:
    assert not survive(kind, damage.MODELS[kind]().model().SerializeToString(), tmp_path / "whole.onnx", 0)


@pytest.mark.parametrize("how", ["meaning", "bytes"])
@pytest.mark.parametrize("part", range(4))
def test_a_damaged_model_is_refused_or_used(how: str, part: int, tmp_path: Path) -> None:
    assert survive_all(range(25 * part, 25 * (part + 1)), how, tmp_path / "damaged.onnx") > 5


@pytest.mark.slow
@pytest.mark.parametrize("how", ["meaning", "bytes"])
@pytest.mark.parametrize("part", range(10))
def test_many_damaged_models_are_refused_or_used(how: str, part: int, tmp_path: Path) -> None:
    first = 1000 + 200 * part
    assert survive_all(range(first, first + 200), how, tmp_path / "damaged.onnx") > 40


def test_the_same_seed_is_the_same_damage() -> None:
    model = damage.MODELS["images"]().model()
    first, second = (damage.damaged(model, np.random.default_rng(3)) for _ in range(2))
    assert isinstance(first, onnx.ModelProto)
    assert first == second != model
