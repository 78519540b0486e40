"""Networks whose axis 0 is no batch: every command takes a stack of their samples, and all engines agree."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import DataError
from intaglio.samples import count_samples, nth_sample, sample_shape

SAMPLES = 33
OPTIONS = ["--calibrator", "max", "--no-equalize", "--no-bias-correction"]
NODES = {
    # name: (shape of x, shape of y, nodes, weights)
    "rows": (
        (4, 6),
        (5,),
        [("Reshape", "x flat", "a"), ("MatMul", "a w", "b"), ("Relu", "b", "c"), ("MatMul", "c v", "y")],
        {"flat": (24,), "w": (24, 7), "v": (7, 5)},
    ),
    "attention": (
        (5, 8),
        (5, 5),
        [("MatMul", "x w", "k"), ("Transpose", "x", "t"), ("MatMul", "k t", "y")],
        {"w": (8, 8)},
    ),
    "state": ((2, 1, 8), (1, 2, 8), [("Transpose", "x", "t"), ("MatMul", "t w", "y")], {"w": (8, 8)}),
    "one row": ((1, 24), (5,), [("Reshape", "x flat", "a"), ("MatMul", "a w", "y")], {"flat": (24,), "w": (24, 5)}),
    "vector": ((24,), (5,), [("MatMul", "x w", "y")], {"w": (24, 5)}),
    "number": ((5, 8), (), [("MatMul", "x w", "a"), ("ReduceSum", "a", "y")], {"w": (8, 5)}),
}
ATTRIBUTES = {("state", "Transpose"): {"perm": (1, 0, 2)}, ("number", "ReduceSum"): {"keepdims": 0}}


def network(name):
    """The ONNX model."""
    x, y, nodes, weights = NODES[name]
    rng = np.random.default_rng(0)
    made = [
        helper.make_node(kind, given.split(), [result], **ATTRIBUTES.get((name, kind), {}))
        for kind, given, result in nodes
    ]
    constants = [
        numpy_helper.from_array(
            np.array(size, np.int64) if n == "flat" else rng.normal(size=size).astype(np.float32) / np.sqrt(size[0]), n
        )
        for n, size in weights.items()
    ]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, size)] for n, size in (("x", x), ("y", y))]
    graph = helper.make_graph(made, name, *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def stack(name):
    """Samples, (N, *shape of one), as data have them."""
    shape = NODES[name][0]
    size = shape[1:] if shape[:1] == (1,) else shape
    return np.random.default_rng(1).normal(size=(SAMPLES, *size)).astype(np.float32)


def run(*argv):
    assert main([str(a) for a in argv]) == 0


@pytest.mark.parametrize("name", NODES)
def test_the_default_recipe_and_every_engine(name, tmp_path, capsys):
    onnx.save(network(name), tmp_path / "m.onnx")
    x, graph = stack(name), ig.load(tmp_path / "m.onnx")
    assert not graph.batched
    q = ig.quantize(graph, x, calibrator="max" if name == "number" else "auto")  # 33 numbers make no histogram
    program = q.lower()
    y = program.run(x)
    assert y.shape == (SAMPLES, *sample_shape(NODES[name][1], batched=False))
    one_by_one = [program.run(x[i].reshape(NODES[name][0])).reshape(y.shape[1:]) for i in range(SAMPLES)]
    assert np.array_equal(y, np.stack(one_by_one))
    assert np.array_equal(ig.compile(program, directory=None).run(x), y)
    simulated = q.simulate(x)
    assert simulated.shape == y.shape
    assert np.square(y - simulated).mean() < 1e-3 * np.square(y).mean()
    np.savez(tmp_path / "x.npz", x=x, y=simulated)
    program.save(tmp_path / "m.intaglio")
    capsys.readouterr()
    found = {}
    for model, engine in (("m.onnx", "float"), ("m.intaglio", "reference"), ("m.intaglio", "native")):
        run("evaluate", tmp_path / model, "--data", tmp_path / "x.npz", "--metric", "mse", "--engine", engine, "--json")
        found[engine] = json.loads(capsys.readouterr().out)
    assert found["reference"]["value"] == found["native"]["value"]
    assert {entry["samples"] for entry in found.values()} == {SAMPLES}
    run("compare", tmp_path / "m.onnx", tmp_path / "m.intaglio", "--data", tmp_path / "x.npz", "--json")
    assert [row for row in json.loads(capsys.readouterr().out)["layers"] if row["sqnr"] < 25] == []


@pytest.mark.parametrize("name", ["rows", "attention", "vector"])
@pytest.mark.parametrize("rounding", ["gptq", "adaround", "blocks"])
def test_learned_rounding(name, rounding, tmp_path):
    onnx.save(network(name), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=stack(name))
    more = ["--smooth", "--clamp-weights"] if rounding == "gptq" else []
    run(
        *("quantize", tmp_path / "m.onnx", "--data", tmp_path / "x.npz", "-o", tmp_path / "o", *OPTIONS, *more),
        *("--rounding", rounding, "--iterations", "3"),
    )


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("data", ["none", "synthesize"])
def test_without_data(name, data, tmp_path):
    onnx.save(network(name), tmp_path / "m.onnx")
    run("quantize", tmp_path / "m.onnx", "--data", data, "--input-range=-3,3", "-o", tmp_path / "o")


@pytest.mark.parametrize("name", ["rows", "vector", "one row"])
def test_labels(name, tmp_path, capsys):
    """Sensitivity by score, and training: outputs meet one label for each sample, a last sample alone too."""
    onnx.save(network(name), tmp_path / "m.onnx")
    x = stack(name)
    real = ig.quantize(tmp_path / "m.onnx", x, calibrator="max").simulate(x)
    np.savez(tmp_path / "x.npz", x=x, y=real.argmax(1))
    model, data = tmp_path / "m.onnx", tmp_path / "x.npz"
    run("sensitivity", model, "--data", data, "--eval", data, "-o", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["real"] > 90
    run("train", model, "--data", data, "--steps", "2", "--batch", "8", "--held-back", "1", "-o", tmp_path / "t")
    run("train", model, "--data", data, "--steps", "2", "--batch", "1", "-o", tmp_path / "one")


def test_a_network_without_classes_imitates(tmp_path, capsys):
    onnx.save(network("attention"), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=stack("attention"), y=np.zeros(SAMPLES, np.int64))
    argv = ["train", tmp_path / "m.onnx", "--data", tmp_path / "x.npz", "--steps", "2", "--batch", "8"]
    assert main([str(a) for a in (*argv, "-o", tmp_path / "o")]) == 1
    assert "expected scores of classes, shape (N, classes), got (N, 5, 5)" in capsys.readouterr().err
    run(*argv, "--teacher", "float", "--distill", "1", "-o", tmp_path / "o")


def test_samples_of_several_inputs():
    """A state of (2, 1, 8) is a sample as a whole; given once it serves all samples of the other input."""
    h, x = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("h", (2, 1, 8)), ("x", (1, 8))))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 1, 8))
    graph = helper.make_graph([helper.make_node("Add", ["h", "x"], ["y"])], "g", [x, h], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    rng = np.random.default_rng(0)
    x, h = (rng.normal(size=(12, *s)).astype(np.float32) for s in ((1, 8), (2, 1, 8)))
    program = ig.quantize(ig.load(model), [((a, b),) for a, b in zip(x, h, strict=True)]).lower()
    for engine in (program, ig.compile(program, directory=None)):
        y = engine.run(x[:, 0], h)
        assert np.abs(y - (x[:, None] + h)).max() < 0.1
        assert np.array_equal(engine.run(x[:, 0], h[3])[3], y[3])
        assert np.array_equal(engine.run(x[3], h[3]), y[3])
        with pytest.raises(DataError, match=r"expected the same number of samples in each, got \[4, 12\]"):
            engine.run(x[:, 0], h[:4])
        with pytest.raises(DataError, match=r"input 'h': expected shape \(N, 2, 1, 8\), got \(24, 1, 8\)"):
            engine.run(x[:, 0], h.reshape(24, 1, 8))


@pytest.mark.parametrize(
    ("got", "shape", "batched", "count"),
    [
        ((7, 3), (1, 3), True, 7),
        ((7, 3), (2, 3), True, 7),
        ((7, 3), (1, 3), False, 7),
        ((7, 5, 3), (5, 3), False, 7),
        ((5, 3), (5, 3), False, 1),
        ((7,), (), False, 7),
        ((), (), False, 1),
        ((10, 3), (5, 3), False, None),
        ((7, 1, 3), (1, 3), False, None),
        ((7, 4), (1, 3), True, None),
    ],
)
def test_how_many_samples_an_array_holds(got, shape, batched, count):
    assert count_samples(got, shape, batched=batched) == count
    if count is not None and not batched:
        x = np.arange(np.prod(got, dtype=int)).reshape(got)
        parts = [nth_sample(x, i, shape) for i in range(count)]
        assert {part.shape for part in parts} == {shape}
        assert np.array_equal(np.concatenate([part.ravel() for part in parts]), x.ravel())


def test_inputs_side_by_side():
    assert count_samples((10, 3), (5, 3), batched=False, side_by_side=True) == 2
    assert count_samples((11, 3), (5, 3), batched=False, side_by_side=True) is None
