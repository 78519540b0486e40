"""Attention masks that are inputs: however a network writes them, what they mask is exactly 0 in every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from intaglio_tests.onnxruntime_session import session
from intaglio_tests.operator_nets import Booleans, Integers

import intaglio as ig
from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends import load_onnx, prepare
from intaglio.graph.access import consumers
from intaglio.plan import place
from intaglio.simulate import Simulator
from intaglio.targets import load_target

node = onnx.helper.make_node
FLOAT, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
SIZE, SAMPLES = 6, 16
CAUSAL = np.tril(np.ones((SIZE, SIZE), bool))
LOWEST = np.array(np.finfo(np.float32).min)

# What stands between the mask (1 keeps a position) and the sum or choice that masks the scores; whether it is boolean.
FORMS: dict[str, tuple[list[onnx.NodeProto], bool]] = {
    "1 - mask times -1e9": (
        [
            node("Cast", ["rows"], ["m"], to=FLOAT),
            node("Sub", ["one", "m"], ["left"]),
            node("Mul", ["left", "far"], ["v"]),
            node("Add", ["scores", "v"], ["masked"]),
        ],
        False,
    ),
    "1 - mask times the lowest number": (
        [
            node("Cast", ["rows"], ["m"], to=FLOAT),
            node("Sub", ["one", "m"], ["left"]),
            node("Mul", ["left", "lowest"], ["v"]),
            node("Add", ["v", "scores"], ["masked"]),
        ],
        False,
    ),
    "inverted and filled": (
        [
            node("Cast", ["rows"], ["m"], to=FLOAT),
            node("Sub", ["one", "m"], ["left"]),
            node("Cast", ["left"], ["out"], to=BOOL),
            node("Where", ["out", "lowest", "left"], ["v"]),
            node("Add", ["scores", "v"], ["masked"]),
        ],
        False,
    ),
    "masked_fill": (
        [node("Equal", ["rows", "none"], ["out"]), node("Where", ["out", "far", "scores"], ["masked"])],
        False,
    ),
    "0 or minus infinity, added": (
        [node("Where", ["rows", "zero", "infinite"], ["v"]), node("Add", ["scores", "v"], ["masked"])],
        True,
    ),
    "a choice": ([node("Where", ["rows", "scores", "infinite"], ["masked"])], True),
    "causal too": (
        [
            node("And", ["rows", "causal"], ["both"]),
            node("Where", ["both", "zero", "infinite"], ["v"]),
            node("Add", ["scores", "v"], ["masked"]),
        ],
        True,
    ),
    "the sum of two masks": (
        [
            node("Where", ["rows", "zero", "infinite"], ["padding"]),
            node("Add", ["padding", "triangle"], ["v"]),
            node("Add", ["scores", "v"], ["masked"]),
        ],
        True,
    ),
}


def attention(model: Any, form: str) -> onnx.ModelProto:
    between, boolean = FORMS[form]
    nodes = [
        node("MatMul", ["x", "w"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["scores"]),
        node("Unsqueeze", ["mask", "middle"], ["rows"]),
        *between,
        node("Softmax", ["masked"], ["shares"], axis=-1),
        node("MatMul", ["shares", "x"], ["y"]),
    ]
    constants = {
        "w": 0.2 * np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32),
        "middle": np.array([1]),
        "one": np.float32(1),
        "zero": np.float32(0),
        "none": np.array(0),
        "far": np.float32(-1e9),
        "lowest": LOWEST,
        "infinite": np.float32(-np.inf),
        "causal": CAUSAL,
        "triangle": np.where(CAUSAL, np.float32(0), LOWEST),
    }
    read = {name for made in nodes for name in made.input}
    constants = {name: array for name, array in constants.items() if name in read}
    kind = Booleans if boolean else Integers
    return model(nodes, {"x": ("n", SIZE, 8), "mask": kind(("n", SIZE))}, constants, ["shares", "y"])


@pytest.mark.parametrize("form", FORMS)
def test_masked_positions_are_exactly_zero(model: Any, form: str, rng: np.random.Generator, tmp_path: Path) -> None:
    proto = attention(model, form)
    graph = prepare(load_onnx(proto))
    assert graph.batched
    x = rng.normal(size=(SAMPLES, SIZE, 8)).astype(np.float32)
    mask = (np.arange(SIZE) < rng.integers(2, SIZE + 1, (SAMPLES, 1))).astype(bool if FORMS[form][1] else np.int64)
    keep = np.broadcast_to(mask.astype(bool)[:, None], (SAMPLES, SIZE, SIZE))
    keep = keep & CAUSAL if "causal" in form or "two masks" in form else keep
    want = session(proto).run(None, {"x": x, "mask": mask})
    for got, right in zip(Simulator(graph, device="cpu").run(x, mask), want, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-5)
    q = ig.quantize(graph, {"x": x, "mask": mask}, calibrator="max", equalize=False, bias_correction=False)
    program = q.lower()
    assert "dynamic_masked_softmax" in [made.operator.kind for made in program.nodes]
    shares, y = program.run(x, mask)
    assert (shares[~keep] == 0).all() and np.abs(shares - want[0]).max() < 0.03
    assert np.abs(q.simulate(x, mask)[0] - shares).max() < 0.01
    native = ig.compile(program, directory=tmp_path)
    for got, right in zip(native.run(x, mask), (shares, y), strict=True):
        assert np.array_equal(got, right)
    if FORMS[form][1]:
        assert str(program.tensors["mask"].type) == "uint1"
    q.export(tmp_path / "masked.qdq.onnx")
    # Beyond basic, ONNX Runtime's own integer products of uint8 and int8 saturate on processors without VNNI.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    theirs = session(tmp_path / "masked.qdq.onnx", options).run(["shares"], {"x": x, "mask": mask})[0]
    assert (theirs[~keep] == 0).all() and np.abs(theirs - shares).max() < 0.03


def test_a_row_without_kept_positions_becomes_uniform(model: Any, rng: np.random.Generator) -> None:
    graph = prepare(load_onnx(attention(model, "masked_fill")))
    x, mask = rng.normal(size=(8, SIZE, 8)).astype(np.float32), np.ones((8, SIZE), np.int64)
    mask[3] = 0
    program = ig.quantize(graph, {"x": x, "mask": mask}, equalize=False, bias_correction=False).lower()
    assert np.abs(program.run(x, mask)[0][3] - 1 / SIZE).max() <= 1 / 256


def test_a_number_that_is_far_and_no_mask_is_refused(model: Any) -> None:
    nodes = [node("Where", ["b", "x", "far"], ["y"], "choice")]
    graph = prepare(
        load_onnx(model(nodes, {"b": Booleans(("n", 4)), "x": ("n", 4)}, {"far": np.array(-1e9, np.float32)}))
    )
    with pytest.raises(UnsupportedOperatorError, match=r"\[Where 'choice'\] expected a choice between numbers of one"):
        place(graph, load_target("cpu-int8"))


def test_what_is_added_and_no_mask_stays_a_sum(model: Any) -> None:
    nodes = [
        node("Cast", ["rows"], ["m"], to=FLOAT),
        node("Add", ["scores", "m"], ["masked"], "sum"),
        node("Softmax", ["masked"], ["y"]),
    ]
    graph = prepare(load_onnx(model(nodes, {"scores": ("n", SIZE), "rows": Integers(("n", SIZE))})))
    assert [made.op_type for made in consumers(graph.inputs[0])] == ["Add"]
