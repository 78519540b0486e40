"""Networks with integer inputs: token ids are looked up in tables and stay integers in every engine."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from torch import nn

import intaglio as ig
from intaglio.bench.bench_inputs import random_reals
from intaglio.codegen.selftest import random_samples
from intaglio.errors import CalibrationError, DataError
from intaglio.program.input_ranges import input_ranges

WORDS, KINDS, LENGTH = 40, 2, 6


def sqnr(want: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((want**2).sum() / (((want - got) ** 2).sum() + 1e-30)))


class Embedded(nn.Module):
    """Token, position and kind, added and normalised, as BERT does it."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.kind = nn.Embedding(WORDS, 16), nn.Embedding(KINDS, 16)
        self.position, self.norm, self.out = nn.Embedding(LENGTH, 16), nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(ids.shape[1])[None]
        return self.out(self.norm(self.token(ids) + self.position(positions) + self.kind(kinds))).mean(1)


@pytest.fixture(scope="module")
def network() -> Embedded:
    torch.manual_seed(0)
    return Embedded().eval()


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"ids": rng.integers(0, WORDS, (32, LENGTH)), "kinds": rng.integers(0, KINDS, (32, LENGTH))}


@pytest.fixture(scope="module")
def quantized(network: Embedded, data: dict[str, np.ndarray]) -> ig.Quantized:
    return ig.quantize(network, data, equalize=False, bias_correction=False)  # example inputs are the first sample


@pytest.fixture(scope="module")
def program(quantized: ig.Quantized) -> ig.Program:
    return quantized.lower()


def test_ids_stay_integers_in_every_engine(network, quantized, program, data, tmp_path) -> None:
    want = network(*map(torch.from_numpy, data.values())).detach().numpy()
    found = program.run(data)
    assert sqnr(want, found) > 30
    assert [str(program.tensors[name].type) for name in program.inputs] == ["int32", "int32"]
    native = ig.compile(program, directory=tmp_path)
    assert np.array_equal(native.run(data), found)
    assert np.array_equal(native.run({k: x.astype(np.float32) for k, x in data.items()}), found), "floats, as data sets"
    path = tmp_path / "model.qdq.onnx"
    quantized.export(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert sqnr(found, session(path, options).run(None, data)[0]) > 30
    again = ig.load_quantized(path).lower()
    assert sqnr(found, again.run(data)) > 30
    program.save(tmp_path / "model.intaglio")
    assert np.array_equal(ig.load_program(tmp_path / "model.intaglio").run(data), found)


def test_negative_ids_count_from_the_end(program, data) -> None:
    negative = {"ids": data["ids"] - WORDS, "kinds": data["kinds"] - KINDS}
    assert np.array_equal(program.run(negative), program.run(data))


@pytest.mark.parametrize("bad", [WORDS, -WORDS - 1, 2**31])
def test_ids_outside_the_table_are_refused(network, program, quantized, data, tmp_path, bad) -> None:
    ids = data["ids"].copy()
    ids[3, 4] = bad
    wrong = {**data, "ids": ids}
    native = ig.compile(program, directory=tmp_path)
    text = "expected codes of int32" if bad == 2**31 else rf"expected integers from -40 to 39, got {bad} at \(3, 4\)"
    for run in (program.run, program.run_int, native.run, native.run_int):
        with pytest.raises(DataError, match=f"input 'ids': {text}"):
            run(wrong)
    for call in (lambda: quantized.simulate(*wrong.values()), lambda: ig.quantize(network, wrong)):
        with pytest.raises(DataError, match=r"\[Gather 'token'\] expected indices of an axis of size 40"):
            call()


def test_ids_with_a_fraction_are_refused(network, program, data) -> None:
    wrong = {**data, "ids": data["ids"] + 0.5}
    with pytest.raises(DataError, match=r"input 'ids': expected integers, got .*\.5 at \(0, 0\)"):
        program.run(wrong)
    examples = tuple(torch.from_numpy(x[:1]) for x in data.values())
    with pytest.raises(DataError, match="input 'ids': expected integers, got .*5"):
        ig.quantize(network, wrong, example_inputs=examples)


def test_ids_need_data(network, data) -> None:
    examples = tuple(torch.from_numpy(x[:1]) for x in data.values())
    with pytest.raises(CalibrationError, match="input 'ids': expected calibration data, as this input holds integers"):
        ig.quantize(network, "none", example_inputs=examples)


def test_c_returns_a_status_for_ids_outside_the_table(program, data, tmp_path) -> None:
    native = ig.compile(program, directory=tmp_path)
    library = ctypes.CDLL(str(native.library))
    header = next(Path(tmp_path).rglob("model.h")).read_text()
    assert "MODEL_OUT_OF_RANGE = 5" in header and "plain integers from -40 to 39" in header
    assert "#define MODEL_INPUT0_MIN -40" in header and "#define MODEL_INPUT0_MAX 39" in header
    ids, kinds = (np.ascontiguousarray(x[:1], np.int32) for x in data.values())
    y, arena = np.zeros(5, np.int16), np.zeros(1 << 16, np.uint8)
    aligned = arena[-arena.ctypes.data % 64 :]
    sizes = [ctypes.c_void_p] * 4
    library.model_run.argtypes, library.model_run.restype = [*sizes, ctypes.c_size_t], ctypes.c_int

    def run() -> int:
        return library.model_run(ids.ctypes.data, kinds.ctypes.data, y.ctypes.data, aligned.ctypes.data, aligned.size)

    assert run() == 0 and np.array_equal(y[None], program.run_int(ids, kinds))
    for bad in (40, -41, 2**31 - 1, -(2**31)):
        ids[0, 2], y[:] = bad, 7
        assert run() == 5 and (y == 7).all(), "nothing is written"


def test_random_inputs_are_valid_ids(program) -> None:
    assert input_ranges(program) == {"ids": (-WORDS, WORDS - 1), "kinds": (-KINDS, KINDS - 1)}
    program.run(*random_reals(program))
    for sample in random_samples(program, 8):
        program.run_int(*sample)
