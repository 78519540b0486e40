"""What a user may do with a Quantized: copy it, pickle it, write it by suffix, evaluate it on every engine."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import CompileError, ExportError, UsageError


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(12, 3, 8, 8)).astype(np.float32), rng.integers(0, 4, 12)


@pytest.fixture(scope="module")
def quantized(data: tuple[np.ndarray, np.ndarray]) -> ig.Quantized:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()
    return ig.quantize(ig.load(net, torch.zeros(1, 3, 8, 8)), data[0])


@pytest.mark.parametrize(
    "again", [copy.deepcopy, copy.copy, lambda q: pickle.loads(pickle.dumps(q))], ids=["deepcopy", "copy", "pickle"]
)
def test_a_copy_computes_the_same(
    quantized: ig.Quantized, data: tuple[np.ndarray, np.ndarray], again: Callable[[ig.Quantized], ig.Quantized]
) -> None:
    made = again(quantized)
    np.testing.assert_array_equal(made.simulate(data[0]), quantized.simulate(data[0]))
    np.testing.assert_array_equal(made.lower().run(data[0]), quantized.lower().run(data[0]))
    assert made.history == quantized.history
    assert made.plan.to_json() == quantized.plan.to_json()


def test_the_suffix_decides_what_is_written(quantized: ig.Quantized, tmp_path: Path) -> None:
    quantized.export(tmp_path / "m.onnx")
    assert ig.load_quantized(tmp_path / "m.onnx").plan.values
    quantized.export(tmp_path / "m.intaglio")
    quantized.lower().save(tmp_path / "again")
    assert (tmp_path / "m.intaglio").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("name", ["m.tflite", "m.pt", "m"])
def test_an_unknown_suffix_writes_nothing(quantized: ig.Quantized, tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match=r"expected a name that ends in \.onnx .* or \.intaglio"):
        quantized.export(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_compiled_program_is_evaluated(
    quantized: ig.Quantized, data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    program = quantized.lower()
    try:
        native = ig.compile(program, directory=tmp_path)
    except CompileError as error:
        pytest.skip(f"needs a C compiler: {error}")
    score = ig.evaluate(native, data)
    assert (score.engine, score.samples) == ("native", 12)
    assert score.value == ig.evaluate(program, data).value
    with pytest.raises(UsageError, match="engine: a compiled program is run by native, got 'simulate'"):
        ig.evaluate(native, data, engine="simulate")
