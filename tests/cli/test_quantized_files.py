"""Files that another tool quantized: every command takes them, or says what to do, and that works."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import AlreadyQuantizedError, ModelError, UnsupportedOperatorError, UsageError

STATIC = ("qdq.onnx", "qoperator.onnx")
ANEW = "give the float network that it was made from"
REFUSED = {
    "dynamic.onnx": r"expected parameters that are known beforehand, got dynamic quantization.*" + ANEW,
    "weights.onnx": r"\[com.microsoft.MatMulNBits 'mm'\] .* weights in integers and float activations; " + ANEW,
    "model.tflite": r"such files cannot be read; give the float network .* with the target tflite-int8",
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
    (folder / "model.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    return folder


def write_weights_only(path):
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], name="mm", domain="com.microsoft", K=16, N=4, bits=4, block_size=16
    )
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, n)) for name, n in (("x", 16), ("y", 4))]
    constants = [
        numpy_helper.from_array(np.zeros((4, 1, 8), np.uint8), "w"),
        numpy_helper.from_array(np.ones(4, np.float32), "s"),
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], constants), opset_imports=opsets), path
    )


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


OF_FLOAT = ("quantize", "train", "sensitivity", "survey", "inspect")
OF_PROGRAMS = ("compile", "run", "bench")
TAKE_THEM = ("evaluate", "compare")


def test_every_command_is_covered(files):
    from intaglio.cli.main import COMMANDS

    assert {*OF_FLOAT, *OF_PROGRAMS, *TAKE_THEM} == set(commands(files, "x")) == set(COMMANDS) - {"targets", "doctor"}


@pytest.mark.parametrize("name", [*STATIC, *REFUSED])
@pytest.mark.parametrize("command", OF_PROGRAMS)
def test_commands_of_programs_suggest_how_to_make_one(files, fails, name, command):
    text = fails(*commands(files, name)[command])
    assert (
        "intaglio quantize --target tflite-int8" if name == "model.tflite" else "load_quantized(path).lower()"
    ) in text


@pytest.mark.parametrize("name", STATIC)
@pytest.mark.parametrize("command", OF_FLOAT)
def test_commands_of_float_networks_name_the_way_of_quantized_ones(files, fails, name, command):
    text = fails(*commands(files, name)[command])
    assert "got one that is already quantized; intaglio.load_quantized(path).lower() makes a program of it" in text
    assert "`intaglio evaluate` and `intaglio compare` take the file as it is" in text
    assert not (files / "out").exists()


@pytest.mark.parametrize("name", STATIC)
def test_suggested_commands_work(files, name, capsys):
    program = ig.load_quantized(files / name).lower()
    assert program.run(np.zeros((1, 3, 8, 8), np.float32)).shape == (1, 4)
    for command in TAKE_THEM:
        assert main([str(a) for a in commands(files, name)[command]]) == 0
        assert capsys.readouterr().out


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("command", [*OF_FLOAT, *TAKE_THEM])
def test_unreadable_files_suggest_the_float_network(files, fails, name, command):
    text = " ".join(fails(*commands(files, name)[command]).split())
    assert re.search(REFUSED[name], text), text
    assert "load_quantized" not in text  # which could not read it either


@pytest.mark.parametrize("name", [*STATIC, *REFUSED])
def test_python_functions_raise_the_same_errors(files, name):
    with pytest.raises((ModelError, UsageError)) as caught:
        ig.load(str(files / name))
    assert isinstance(caught.value, AlreadyQuantizedError) == (name in STATIC)
    with pytest.raises((ModelError, UsageError)):
        ig.quantize(str(files / name), str(files / "data.npz"))


def test_the_front_end_tells_which_files_are_quantized(files, tmp_path):
    from intaglio.frontends.quantized.load import is_quantized_file

    for name in (*STATIC, "dynamic.onnx", "weights.onnx"):
        assert is_quantized_file(files / name), name
    assert not is_quantized_file(files / "float.onnx")
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
