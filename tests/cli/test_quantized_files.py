"""Files that another tool quantized: every command takes them, or says what to do, and that works."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from intaglio_tests.onnxruntime_session import session
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import AlreadyQuantizedError, ModelError, UnsupportedOperatorError, UsageError
from intaglio.evaluation.model_stages import stage_of

STATIC = ("qdq.onnx", "qoperator.onnx")
ANEW = "give the float network that it was made from"
REFUSED = {
    "order.onnx": r"\[com.microsoft.MatMulNBits 'mm'\] .* got 4 bits and an order of columns; " + ANEW,
    "model.tflite": r"model.tflite: expected a model with a subgraph, got none; convert the model again",
}


class Reader(CalibrationDataReader):
    def __init__(self, x):
        self.left = iter([{"x": x}])

    def get_next(self):
        return next(self.left, None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("quantized"), np.random.default_rng(0)
    x = rng.normal(size=(16, 3, 8, 8)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(16) % 4)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)), "b": rng.normal(size=4), "v": rng.normal(size=(4, 4))}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], name="conv"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "v"], ["y"], name="head"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ("N", 3, 8, 8)), ("y", ("N", 4)))
    ]
    constants = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in weights.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    real = folder / "float.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), real)
    for name, form, kind in zip(
        STATIC, (QuantFormat.QDQ, QuantFormat.QOperator), (QuantType.QInt8, QuantType.QUInt8), strict=True
    ):
        quantize_static(real, folder / name, Reader(x), form, activation_type=kind, weight_type=QuantType.QInt8)
    quantize_dynamic(real, folder / "dynamic.onnx", weight_type=QuantType.QInt8)
    write_weights_only(folder / "weights.onnx")
    write_weights_only(folder / "order.onnx", np.zeros(16, np.int32))
    (folder / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    return folder


FLOAT = ("dynamic.onnx", "weights.onnx")


def write_weights_only(path, order=None):
    rng = np.random.default_rng(0)
    read = ["x", "w", "s"] if order is None else ["x", "w", "s", "", "order"]
    node = helper.make_node(
        "MatMulNBits", read, ["y"], name="mm", domain="com.microsoft", K=16, N=4, bits=4, block_size=16
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, n)) for name, n in (("x", 16), ("y", 4))]
    constants = [
        numpy_helper.from_array(rng.integers(0, 256, (4, 1, 8)).astype(np.uint8), "w"),
        numpy_helper.from_array(rng.uniform(0.1, 1, 4).astype(np.float32), "s"),
    ]
    if order is not None:
        constants.append(numpy_helper.from_array(order, "order"))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def commands(folder, name):
    """Every command that a user may give such a file to, with the arguments that it asks for."""
    path, data, out = folder / name, folder / "data.npz", folder / "out"
    return {
        "quantize": ["quantize", path, "--data", data, "-o", out],
        "train": ["train", path, "--data", data, "-o", out],
        "sensitivity": ["sensitivity", path, "--data", data, "-o", folder / "s.json"],
        "survey": ["survey", path, "--data", data, "--eval", data, "-o", out],
        "inspect": ["inspect", path],
        "evaluate": ["evaluate", path, "--data", data],
        "compare": ["compare", path, folder / "float.onnx", "--data", data, "--samples", "4"],
        "compile": ["compile", path, "-o", out],
        "run": ["run", path, "--input", data, "--output", folder / "y.npy"],
        "bench": ["bench", path],
    }


OF_FLOAT = ("train", "sensitivity", "survey")
OF_PROGRAMS = ("compile", "run", "bench")
TAKE_THEM = ("quantize", "inspect", "evaluate", "compare")


def test_every_command_is_covered(files):
    from intaglio.cli.main import COMMANDS

    assert (
        {*OF_FLOAT, *OF_PROGRAMS, *TAKE_THEM}
        == set(commands(files, "x"))
        == set(COMMANDS) - {"sample", "targets", "doctor"}
    )


def test_commands_of_programs_suggest_how_to_make_one(files, fails):
    for command in OF_PROGRAMS:
        assert "with `intaglio quantize`" in fails(*commands(files, "float.onnx")[command])
        assert "expected a model with a subgraph, got none" in fails(*commands(files, "model.tflite")[command])


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize("command", OF_FLOAT)
def test_commands_of_float_networks_name_the_way_of_quantized_ones(files, fails, name, command):
    text = fails(*commands(files, name)[command])
    assert "got one that is already quantized; intaglio.load_quantized(path).lower() makes a program of it" in text
    assert "`intaglio quantize`, `compile`, `run`, `bench`, `inspect`, `evaluate` and `compare` take the file" in text
    assert not (files / "out").exists()


@pytest.mark.parametrize("name", STATIC)
def test_suggested_commands_work(files, name, capsys):
    program = ig.load_quantized(files / name).lower()
    assert program.run(np.zeros((1, 3, 8, 8), np.float32)).shape == (1, 4)
    for command in TAKE_THEM:
        assert main([str(a) for a in commands(files, name)[command]]) == 0
        assert capsys.readouterr().out


@pytest.mark.parametrize("name", STATIC)
def test_quantize_keeps_the_numbers_of_the_file(files, fails, name, tmp_path, capsys):
    program = ig.load_quantized(files / name).lower()
    argv = ["quantize", files / name, "--data", files / "data.npz", "--eval", files / "data.npz", "-o", tmp_path / "o"]
    for options in (["--target", "int8-symmetric"], ["--layer", "first=a16"], ["--no-equalize"], ["--max-drop", "1"]):
        text = fails(*argv, *options)
        assert f"{name}: expected no {options[0].replace('--no-', '--')} beside a file that is already" in text
    assert main([str(a) for a in [*argv, "--json"]]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["integer"]["samples"] == 16
    assert summary["target"].endswith("scales of the file")
    x = np.load(files / "data.npz")["x"]
    np.testing.assert_array_equal(ig.load_program(tmp_path / "o" / "model.intaglio").run(x), program.run(x))


@pytest.mark.parametrize("name", STATIC)
def test_float_keeps_the_ranges_that_replace_a_relu(files, name, tmp_path, capsys):
    assert "Relu" not in {node.op_type for node in onnx.load(files / name).graph.node}  # ONNX Runtime left it out
    argv = ["quantize", files / name, "--data", files / "data.npz", "--eval", files / "data.npz", "-o", tmp_path / "o"]
    assert main([str(a) for a in [*argv, "--json"]]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["gates"]["passed"]
    assert min(layer["sqnr"] for layer in summary["layers"]) > 20
    assert "its values limited to the ranges of the file" in " ".join(summary["history"])
    x = np.load(files / "data.npz")["x"]
    theirs, real = ig.load_quantized(files / name), ig.load(files / "float.onnx")
    (saturated,), (wanted,) = stage_of(theirs, "float").run(x), stage_of(real, "float").run(x)
    np.testing.assert_allclose(saturated, wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize("name", STATIC)
def test_commands_of_programs_take_a_quantized_file(files, name, tmp_path, capsys):
    x = np.load(files / "data.npz")["x"]
    np.save(tmp_path / "x.npy", x)
    assert (
        main(["run", str(files / name), "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]) == 0
    )
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), ig.load_quantized(files / name).lower().run(x))
    assert main(["compile", str(files / name), "-o", str(tmp_path / "c"), "--no-build"]) == 0
    assert (tmp_path / "c" / "model.c").exists()
    short = ["--rounds", "1", "--peers", "", "-o", str(tmp_path / "b"), "--json"]
    capsys.readouterr()
    assert main(["bench", str(files / name), *short]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]


@pytest.mark.parametrize("name", STATIC)
def test_inspect_shows_the_formats_of_the_file(files, name, capsys):
    assert main(["inspect", str(files / name), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "quantized network"
    assert facts["blockers"] == []
    assert main(["inspect", str(files / name)]) == 0
    assert "operators become integers with the scales of the file" in capsys.readouterr().out
    plan = ig.load_quantized(files / name).plan
    assert {v["name"]: v["format"] for v in facts["values"]} == {
        v.name: str(v.format or "") for v in plan.values.values()
    }


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("command", [*OF_FLOAT, *TAKE_THEM])
def test_unreadable_files_suggest_the_float_network(files, fails, name, command):
    text = " ".join(fails(*commands(files, name)[command]).split())
    assert re.search(REFUSED[name], text), text
    assert "load_quantized" not in text  # which could not read it either


@pytest.mark.parametrize("name", FLOAT)
def test_files_with_integer_weights_alone_are_float_networks(files, name):
    graph = ig.load(files / name)
    assert "are read as float weights, on the grid of the file" in graph.history[0]
    x = np.random.default_rng(1).normal(size=[1, *graph.inputs[0].shape[1:]]).astype(np.float32)
    (y,) = stage_of(graph, "float").run(x)
    (wanted,) = session(onnx.load(files / name)).run(None, {"x": x})
    np.testing.assert_allclose(y, wanted, atol=0.03 * np.abs(wanted).max())  # theirs rounds activations to 8 bits
    program = ig.quantize(graph, np.repeat(x, 4, 0)).lower()
    np.testing.assert_allclose(program.run(x), wanted, atol=0.05 * np.abs(wanted).max())


@pytest.mark.parametrize("name", FLOAT)
def test_commands_take_files_with_integer_weights_alone(files, name, capsys, tmp_path):
    out = tmp_path / "out"
    assert main(["quantize", str(files / name), "--data", "none", "--input-range=-3,3", "-o", str(out)]) == 0
    assert (out / "model.intaglio").exists()


@pytest.mark.parametrize("name", [*STATIC, *REFUSED])
def test_python_functions_raise_the_same_errors(files, name):
    with pytest.raises((ModelError, UsageError)) as caught:
        ig.load(str(files / name))
    assert isinstance(caught.value, AlreadyQuantizedError) == (name in STATIC)
    with pytest.raises((ModelError, UsageError)):
        ig.quantize(str(files / name), str(files / "data.npz"))


def test_the_front_end_tells_which_files_are_quantized(files, tmp_path):
    from intaglio.frontends.quantized.load import is_quantized_file

    for name in STATIC:
        assert is_quantized_file(files / name), name
    for name in ("float.onnx", *FLOAT):
        assert not is_quantized_file(files / name), name
    (tmp_path / "cut.onnx").write_bytes((files / "qdq.onnx").read_bytes()[:50])
    with pytest.raises(ModelError, match="cut short"):
        is_quantized_file(tmp_path / "cut.onnx")


def test_an_operator_of_onnx_runtime_alone_names_another_form(tmp_path):
    node = helper.make_node("QLinearReduceMean", ["x", "s", "z", "s", "z"], ["y"], name="mean", domain="com.microsoft")
    ends = [helper.make_tensor_value_info(name, TensorProto.INT8, (1, 4)) for name in "xy"]
    constants = [
        numpy_helper.from_array(np.array(1, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedOperatorError, match=r"quant_format=QuantFormat\.QDQ"):
        ig.load_quantized(tmp_path / "m.onnx")
