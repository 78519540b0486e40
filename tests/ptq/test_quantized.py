"""What a user may do with a Quantized: copy it, pickle it, write it by suffix, evaluate it on every engine."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import intaglio as ig
from intaglio.errors import CompileError, ExportError, UsageError


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(12, 3, 8, 8)).astype(np.float32), rng.integers(0, 4, 12)


def module() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()


@pytest.fixture(scope="module")
def quantized(data: tuple[np.ndarray, np.ndarray]) -> ig.Quantized:
    return ig.quantize(ig.load(module(), torch.zeros(1, 3, 8, 8)), data[0])


class Loader:
    """Iterates over batches without labels."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter([self.x[:7], self.x[7:]])


@pytest.mark.parametrize("form", ["array", "labelled", "loader", "dataset", "iterator"])
def test_a_module_is_quantized_as_its_graph(
    quantized: ig.Quantized, data: tuple[np.ndarray, np.ndarray], form: str
) -> None:
    x, y = data
    pairs = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    forms = {
        "array": x,
        "labelled": (x, y),
        "loader": DataLoader(pairs, batch_size=5),
        "dataset": pairs,
        "iterator": ((x[i], y[i]) for i in range(len(x))),
    }
    made = ig.quantize(module(), forms[form])
    np.testing.assert_array_equal(made.lower().run(x), quantized.lower().run(x))


def test_a_module_needs_example_inputs_where_data_do_not_tell(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(
        UsageError, match="Sequential: expected example_inputs .* as an iterable without labels may give"
    ):
        ig.quantize(module(), Loader(data[0]))
    with pytest.raises(
        UsageError, match="Sequential: expected example_inputs beside a torch.nn.Module and data 'none'"
    ):
        ig.quantize(module(), "none")
    made = ig.quantize(module(), Loader(data[0]), example_inputs=torch.zeros(1, 3, 8, 8))
    assert made.graph.batched
    with pytest.raises(UsageError, match="load: expected example_inputs only beside a torch.nn.Module"):
        ig.quantize(made.graph, data[0], example_inputs=torch.zeros(1, 3, 8, 8))


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


@pytest.mark.parametrize("name", ["m.pb", "m.pt", "m"])
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
