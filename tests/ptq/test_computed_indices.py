"""Indices that a network computes stay integers; one outside its axis is an error in Python and a status in C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from intaglio_tests.operator_nets import Integers, Lowered, lowered, model
from torch import nn

import intaglio as ig
from intaglio.bench.bench_inputs import random_reals
from intaglio.codegen.call import PreparedRun
from intaglio.codegen.selftest import random_samples
from intaglio.errors import DataError
from intaglio.frontends.onnx import load_onnx
from intaglio.graph.passes import prepare
from intaglio.program.index_checks import index_checks, ranges_to_draw
from intaglio.simulate import Simulator

WORDS, LENGTH, PAD = 40, 12, 1
node = onnx.helper.make_node
RNG = np.random.default_rng(0)


class Positions(nn.Module):
    """Positions count the tokens that are no padding, and kinds are looked up by them, as RoBERTa does it."""

    def __init__(self) -> None:
        super().__init__()
        rows = LENGTH + PAD + 1
        self.word, self.position = nn.Embedding(WORDS, 16), nn.Embedding(rows, 16)
        self.kind, self.norm, self.out = nn.Embedding(2, 16), nn.LayerNorm(16), nn.Linear(16, 5)
        self.register_buffer("kinds", torch.arange(rows + 8)[None] % 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = ids.ne(PAD).int()
        positions = (torch.cumsum(mask, dim=1).type_as(mask) * mask).long() + PAD
        kind = self.kind(torch.gather(self.kinds.expand(len(ids), -1), 1, positions))
        return self.out(self.norm(self.word(ids) + self.position(positions) + kind)).mean(1)


def network(nodes: list[onnx.NodeProto], data: np.ndarray, **constants: np.ndarray) -> Lowered:
    sizes = ("n", *data.shape[1:])
    proto = model(nodes, {"x": Integers(sizes) if data.dtype.kind == "i" else sizes}, constants)
    return lowered(prepare(load_onnx(proto)), "cpu-int8", {"x": data})


@pytest.fixture(scope="module")
def shifted() -> Lowered:
    """Rows of a table by indices that are limited on one side only."""
    nodes = [
        node("Sub", ["x", "two"], ["less"], "sub"),
        node("Max", ["less", "zero"], ["index"], "max"),
        node("Gather", ["table", "index"], ["y"], "look_up"),
    ]
    table = RNG.standard_normal((9, 8)).astype(np.float32)
    return network(nodes, RNG.integers(-3, 11, (16, 4)), two=np.array(2), zero=np.array(0), table=table)


def sqnr(want: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10((want**2).sum() / (((want - got) ** 2).sum() + 1e-30)))


def test_positions_are_counted_in_integers_in_every_engine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ids = RNG.integers(2, WORDS, (16, LENGTH))
    for row, length in zip(ids, np.arange(16) % LENGTH, strict=True):
        row[length:] = PAD
    module, examples = Positions().eval(), (torch.from_numpy(ids[:1]),)
    made = ig.quantize(module, ids, example_inputs=examples, equalize=False, bias_correction=False)
    program = made.lower()
    assert index_checks(program) == {}, "no run has to look: LENGTH tokens fit"
    found = program.run(ids)
    assert sqnr(module(torch.from_numpy(ids)).detach().numpy(), found) > 25
    (sums,) = (node.output for node in program.nodes if node.operator.kind == "integer_cumsum")
    assert np.array_equal(program.trace(ids)[sums], (ids != PAD).cumsum(1)) and program.tensors[sums].params is None
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


def test_a_computed_index_outside_its_axis_is_refused(shifted: Lowered, tmp_path: Path) -> None:
    program = shifted.program
    shifted.check()
    native = ig.compile(program, directory=tmp_path)
    ids = np.tile(np.array([[10, 2, -(2**31), 0]], np.int32), (8, 1))
    wrong = ids.copy()
    wrong[5, 3] = 11
    text = r"node 'look_up': expected computed indices from -9 to 8 in '.*', got 9 at \(5, 3\) \(1 of 32 are outside\)"
    for run in (program.run, program.run_int, program.trace, native.run, native.run_int):
        assert run(ids) is not None
        with pytest.raises(DataError, match=text):
            run(wrong)
    with pytest.raises(DataError, match=r"\[Gather 'look_up'\] expected indices of an axis of size 9, .* got 9"):
        Simulator(shifted.graph, device="cpu").run(wrong)
    header = next(tmp_path.rglob("model.h")).read_text()
    assert "MODEL_OUT_OF_RANGE = 5" in header and "or an index that it computes leaves its axis" in header
    assert "MODEL_OUT_OF_RANGE the outputs may hold anything" in header
    codes = ids[:1].copy()
    prepared = PreparedRun(program, native._library, [codes])
    for index, status in ((10, 0), (11, 5), (2**31 - 1, 5), (-5, 0)):
        codes[0, 2] = index
        assert native._library.call(*prepared._arguments, None) == status


def test_random_inputs_keep_computed_indices_inside(shifted: Lowered) -> None:
    program = shifted.program
    assert ranges_to_draw(program) == {"x": (-(2**3), 2**3 - 1)}
    assert list(index_checks(program)) == ["look_up"]
    program.run(*random_reals(program))
    for sample in random_samples(program, 8):
        program.run_int(*sample)


def positions_of_a_short_table(start: int) -> ig.Program:
    """Tokens that are no padding (3) are counted from `start`, in a table of three rows; calibrated on padding."""
    nodes = [
        node("Equal", ["x", "pad"], ["is_pad"], "equal"),
        node("Not", ["is_pad"], ["is_token"], "not"),
        node("Cast", ["is_token"], ["mask"], "cast", to=onnx.TensorProto.INT64),
        node("CumSum", ["mask", "axis"], ["count"], "sum"),
        node("Add", ["count", "start"], ["position"], "add"),
        node("Gather", ["table", "position"], ["y"], "look_up"),
    ]
    table = RNG.standard_normal((3, 4)).astype(np.float32)
    constants = {"pad": np.array(3), "axis": np.array(1), "start": np.array(start), "table": table}
    return network(nodes, np.full((8, 6), 3), **constants).program


def test_inputs_that_no_range_makes_certain_hold_one_value() -> None:
    program = positions_of_a_short_table(1)
    assert ranges_to_draw(program) is None
    for sample in random_samples(program, 2):
        program.run_int(*sample)
        assert (sample[0] == 3).all(), "padding alone"
    at = next(i for i, n in enumerate(program.nodes) if n.operator.kind == "integer_cumsum")
    (constant,) = (name for name in program.nodes[at + 1].inputs if name in program.constants)
    program.constants[constant] = program.constants[constant] + np.int32(3)
    with pytest.raises(DataError, match="found none for node 'look_up'; give data"):
        random_samples(program, 2)


def test_results_of_an_argmax_are_indices(tmp_path: Path) -> None:
    nodes = [
        node("ArgMax", ["x"], ["best"], "best", axis=1, keepdims=0),
        node("Gather", ["table", "best"], ["y"], "row"),
    ]
    x, table = (RNG.standard_normal(size).astype(np.float32) for size in ((32, 9), (9, 8)))
    case = network(nodes, x, table=table)
    case.check()
    assert index_checks(case.program) == {}
    native = ig.compile(case.program, directory=tmp_path)
    assert np.array_equal(native.run(x), case.program.run(x))


def test_a_border_of_minus_infinity_is_left_out_exactly() -> None:
    """A mean of the places around the best score, as detectors of pitch take it; beside the ends there is nothing."""
    nodes = [
        node("ArgMax", ["x"], ["best"], "best", axis=1),
        node("Add", ["best", "around"], ["near"], "near"),
        node("Pad", ["x", "pads", "border"], ["padded"], "pad"),
        node("GatherElements", ["padded", "near"], ["scores"], "scores", axis=1),
        node("Softmax", ["scores"], ["y"], "weights", axis=1),
    ]
    x = 4 * RNG.standard_normal((64, 9)).astype(np.float32)
    best = x.argmax(1)
    assert np.isin((0, 8), best).all(), "both ends are tried"
    constants = {"around": np.arange(3)[None], "pads": np.array([0, 1, 0, 1]), "border": np.array(-np.inf, np.float32)}
    case = network(nodes, x, **constants)
    assert "pad" not in case.kinds() and case.kinds()[-1] == "dynamic_masked_softmax"
    y = case.program.run(x)
    assert (y[best == 0, 0] == 0).all() and (y[best == 8, 2] == 0).all()
    np.testing.assert_allclose(y, Simulator(case.graph, device="cpu").run(x)[0], atol=0.1)
    assert np.median(np.abs(y - Simulator(case.graph, device="cpu").run(x)[0])) < 0.02
