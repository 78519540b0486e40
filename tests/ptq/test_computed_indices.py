"""Indices that a network computes stay integers; one outside its axis is an error in Python and a status in C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from torch import nn

import intaglio as ig
from intaglio.bench.bench_inputs import random_reals
from intaglio.codegen.call import PreparedRun
from intaglio.codegen.selftest import random_samples
from intaglio.errors import DataError
from intaglio.program.index_checks import index_checks, ranges_to_draw

WORDS, LENGTH, PAD = 40, 12, 1


class Positions(nn.Module):
    """Positions count the tokens that are no padding, and kinds are looked up by them, as RoBERTa does it."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.word, self.position = nn.Embedding(WORDS, 16), nn.Embedding(rows, 16)
        self.kind, self.norm, self.out = nn.Embedding(2, 16), nn.LayerNorm(16), nn.Linear(16, 5)
        self.register_buffer("kinds", torch.arange(rows + 8)[None] % 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = ids.ne(PAD).int()
        positions = (torch.cumsum(mask, dim=1).type_as(mask) * mask).long() + PAD
        kind = self.kind(torch.gather(self.kinds.expand(len(ids), -1), 1, positions))
        return self.out(self.norm(self.word(ids) + self.position(positions) + kind)).mean(1)


class Shifted(nn.Module):
    """Rows of a table by indices that were limited on one side only."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.table((ids - 2).clamp(min=0))).mean(1)


class Chosen(nn.Module):
    """The row of computed data that scores best."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.table = nn.Linear(6, 9), nn.Embedding(9, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table(self.score(x).argmax(-1))


class Peak(nn.Module):
    """A mean of the places around the best score, as detectors of pitch take it; beside the ends there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(6, 9)
        self.register_buffer("places", torch.linspace(-1.0, 1.0, 9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.score(x)
        near = scores.argmax(-1, keepdim=True) + torch.arange(-1, 2)
        padded = nn.functional.pad(scores, (1, 1), value=-torch.inf)
        weights = torch.softmax(padded.gather(-1, near + 1), -1)
        return (weights * self.places[near.clamp(0, 8)]).sum(-1)


def quantized(network: nn.Module, data: np.ndarray) -> ig.Quantized:
    examples = (torch.from_numpy(data[:1]),)
    return ig.quantize(network, data, example_inputs=examples, equalize=False, bias_correction=False)


def real(network: nn.Module, data: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(data)).detach().numpy()


def sqnr(want: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((want**2).sum() / (((want - got) ** 2).sum() + 1e-30)))


@pytest.fixture(scope="module")
def ids() -> np.ndarray:
    found = np.random.default_rng(0).integers(2, WORDS, (16, LENGTH))
    for row, length in zip(found, np.arange(16) % LENGTH, strict=True):
        row[length:] = PAD
    return found


def test_positions_are_counted_in_integers_in_every_engine(ids: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Positions(LENGTH + PAD + 1).eval()
    made = quantized(network, ids)
    program = made.lower()
    assert index_checks(program) == {}, "no run has to look: LENGTH tokens fit"
    found = program.run(ids)
    assert sqnr(real(network, ids), found) > 25
    mask = ids != PAD
    (sums,) = (node.output for node in program.nodes if node.operator.kind == "integer_cumsum")
    assert np.array_equal(program.trace(ids)[sums], mask.cumsum(1)) and program.tensors[sums].params is None
    native = ig.compile(program, directory=tmp_path, threads=2)
    assert np.array_equal(native.run_int(ids), program.run_int(ids))
    assert "leaves_axis" not in next(tmp_path.rglob("model.c")).read_text()
    path = tmp_path / "model.qdq.onnx"
    made.export(path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert sqnr(found, session(path, options).run(None, {program.inputs[0]: ids})[0]) > 30
    assert sqnr(found, ig.load_quantized(path).lower().run(ids)) > 30
    program.save(tmp_path / "model.intaglio")
    assert np.array_equal(ig.load_program(tmp_path / "model.intaglio").run(ids), found)


def test_a_computed_index_outside_its_axis_is_refused(ids: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = quantized(Positions(10).eval(), ids[ids[:, 8] == PAD])  # a table of positions that not every input fits
    program = made.lower()
    native = ig.compile(program, directory=tmp_path)
    wrong = ids[:8].copy()
    wrong[5, :9] = 3
    text = (
        r"node 'position': expected computed indices from -10 to 9 in '.*', got 10 at \(5, 8\) \(1 of 96 are outside\)"
    )
    for run in (program.run, program.run_int, program.trace, native.run, native.run_int):
        assert run(ids[:8]) is not None
        with pytest.raises(DataError, match=text):
            run(wrong)
    with pytest.raises(DataError, match=r"\[Gather 'position'\] expected indices of an axis of size 10, .* got 10"):
        made.simulate(wrong)
    header = next(tmp_path.rglob("model.h")).read_text()
    assert "MODEL_OUT_OF_RANGE = 5" in header and "or an index that it computes leaves its axis" in header
    assert "MODEL_OUT_OF_RANGE the outputs may hold anything" in header
    codes = ids[:1].astype(np.int32)
    prepared = PreparedRun(program, native._library, [codes])
    for length, status in ((8, 0), (9, 5), (12, 5), (7, 0)):
        codes[:] = PAD
        codes[0, :length] = 3
        assert native._library.call(*prepared._arguments, None) == status


def test_random_inputs_keep_computed_indices_inside(tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = quantized(Shifted().eval(), np.random.default_rng(0).integers(0, 11, (16, 4))).lower()
    (name,) = program.inputs
    assert ranges_to_draw(program) == {name: (-(2**3), 2**3 - 1)}
    assert list(index_checks(program)) == ["table"]
    program.run(*random_reals(program))
    for sample in random_samples(program, 8):
        program.run_int(*sample)


def test_results_of_an_argmax_are_indices(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = Chosen().eval(), np.random.default_rng(0).standard_normal((32, 6)).astype(np.float32)
    program = quantized(network, x).lower()
    assert index_checks(program) == {}
    agree = (np.abs(program.run(x) - real(network, x)) < 0.1).all(-1)
    assert agree.mean() > 0.9, "near ties may fall otherwise"
    native = ig.compile(program, directory=tmp_path)
    assert np.array_equal(native.run(x), program.run(x))


def test_a_border_of_minus_infinity_is_left_out_exactly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = Peak().eval(), 4 * np.random.default_rng(0).standard_normal((64, 6)).astype(np.float32)
    program = quantized(network, x).lower()
    kinds = [node.operator.kind for node in program.nodes]
    assert "gather_elements" in kinds and "dynamic_masked_softmax" in kinds and "pad" not in kinds
    best = network.score(torch.from_numpy(x)).argmax(-1).numpy()
    assert np.isin((0, 8), best).all(), "both ends are tried"
    assert np.median(np.abs(program.run(x) - real(network, x))) < 0.02
    native = ig.compile(program, directory=tmp_path)
    assert np.array_equal(native.run(x), program.run(x))
