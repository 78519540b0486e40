"""Bad input gets one clear error, exit status 1, and leaves nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import intaglio as ig
from intaglio.cli import main
from intaglio.search import recipe_search


def leftovers(folder):
    return sorted(p.name for p in folder.rglob("*")) if folder.exists() else []


def quantize(fails, made, tmp_path, model=None, data=None, *more):
    text = fails("quantize", model or made.model, "--data", data or made.data, "-o", tmp_path / "out", *more)
    assert leftovers(tmp_path / "out") == []
    return text


def small_model(path, nodes, weights, *, x_shape=(1, 4), y_shape=None):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "required"),
        (["quantise"], "COMMAND: expected one of quantize, train"),
        (["quantise"], "got 'quantise'; did you mean quantize?; see `intaglio --help`"),
        (["quantize"], "required"),
        (
            ["quantize", "m.onnx", "--data", "d", "-o", "o", "--samples", "many"],
            "--samples: expected a whole number, got 'many'",
        ),
        (
            ["run", "p.intaglio", "--input", "x.npy", "--output", "y.npy", "--engine", "warp"],
            "--engine: expected one of reference, native, got 'warp'",
        ),
        (["evaluate", "p.intaglio", "--data", "d", "--metric", "beauty"], "metric: expected one of"),
    ],
)
def test_wrong_arguments(fails, argv, text):
    assert text in fails(*argv)


def test_missing_truncated_and_foreign_models(fails, made, tmp_path):
    assert "got nothing there" in quantize(fails, made, tmp_path, tmp_path / "none.onnx")
    whole = made.model.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 7):
        path = tmp_path / f"cut{cut}.onnx"
        path.write_bytes(whole[:cut])
        assert path.name in quantize(fails, made, tmp_path, path)
    (tmp_path / "text.onnx").write_text("not a model")
    assert "text.onnx" in quantize(fails, made, tmp_path, tmp_path / "text.onnx")
    assert "text.txt" in quantize(fails, made, tmp_path, tmp_path / "text.txt")
    assert "error" in quantize(
        fails, made, tmp_path, "no_such_package_anywhere:make", None, "--example-shape", "1,3,8,8"
    )


def test_unsupported_operator_is_named_with_its_node(fails, made, tmp_path):
    path = small_model(
        tmp_path / "m.onnx", [helper.make_node("Bernoulli", ["x"], ["y"], name="coin")], {}, y_shape=(1, 4)
    )
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 4), np.float32))
    text = quantize(fails, made, tmp_path, path, tmp_path / "d.npz")
    assert "Bernoulli" in text
    assert "coin" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(fails, made, tmp_path, bad):
    weight = np.ones((4, 3), np.float32)
    weight[1, 2] = bad
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")]
    path = small_model(tmp_path / "m.onnx", nodes, {"w": weight}, y_shape=(1, 3))
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 4), np.float32))
    text = quantize(fails, made, tmp_path, path, tmp_path / "d.npz")
    assert "'w'" in text


def test_data_that_does_not_fit(fails, made, tmp_path):
    x = np.load(made.data)["x"]
    cases = {
        "nan": (np.where(np.arange(len(x)).reshape(-1, 1, 1, 1) == 7, np.nan, x), "7"),
        "order": (x.transpose(0, 2, 3, 1), "NCHW"),
        "rank": (x[:, 0], "(3, 8, 8)"),
        "size": (x[:, :, :7], "(3, 8, 8)"),
        "none": (x[:0], "no samples"),
        "words": (np.array(["a", "b"]), "words.npz"),
    }
    for name, (array, text) in cases.items():
        np.savez(tmp_path / f"{name}.npz", x=array)
        assert text in quantize(fails, made, tmp_path, None, tmp_path / f"{name}.npz"), name
    np.savez(tmp_path / "name.npz", image=x, label=x)
    assert "name.npz" in quantize(fails, made, tmp_path, None, tmp_path / "name.npz")
    assert "nowhere" in quantize(fails, made, tmp_path, None, tmp_path / "nowhere")
    assert "samples" in quantize(fails, made, tmp_path, None, None, "--samples", "0")


def test_evaluation_data_without_labels_is_refused_before_calibration(fails, made, tmp_path):
    np.savez(tmp_path / "unlabelled.npz", x=np.load(made.data)["x"])
    assert "label" in quantize(fails, made, tmp_path, None, None, "--eval", tmp_path / "unlabelled.npz")
    np.savez(tmp_path / "wrong.npz", x=np.load(made.data)["x"], y=np.full(48, 9))
    assert "9" in quantize(fails, made, tmp_path, None, None, "--eval", tmp_path / "wrong.npz")


def test_requests_that_a_target_refuses(fails, made, tmp_path):
    assert "4 bits" in quantize(fails, made, tmp_path, None, None, "--layer", "first=w4")
    assert "no-such-target" in quantize(fails, made, tmp_path, None, None, "--target", "no-such-target")
    assert "calibrator" in quantize(fails, made, tmp_path, None, None, "--calibrator", "astrology")
    assert "PATTERN=FORMAT" in quantize(fails, made, tmp_path, None, None, "--layer", "w8a16")
    assert "similar names: second" in quantize(fails, made, tmp_path, None, None, "--layer", "secnd=a16")
    assert "no float layers" in quantize(fails, made, tmp_path, None, None, "--target", "mcu-int8", "--ignored", "head")


def test_damaged_programs(fails, made, tmp_path):
    np.save(tmp_path / "x.npy", np.load(made.data)["x"])
    whole = made.program.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    newer = whole.replace(b'\\"version\\":1', b'\\"version\\":9')
    assert newer != whole
    damaged = {"cut": whole[:-9], "short": whole[:5], "flipped": bytes(flipped), "newer": newer, "else": b"x" * 4000}
    for name, content in damaged.items():
        path = tmp_path / f"{name}.intaglio"
        path.write_bytes(content)
        text = fails("run", path, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
        assert path.name in text
        assert ("newer" in text) == (name == "newer"), text
        assert not (tmp_path / "y.npy").exists()
    assert "none.intaglio" in fails("inspect", tmp_path / "none.intaglio")


def test_inputs_that_do_not_fit_a_program(fails, made, tmp_path):
    for name, array in {
        "rank": np.zeros((3, 8, 8)),
        "order": np.zeros((2, 8, 8, 3)),
        "nan": np.full((1, 3, 8, 8), np.nan),
    }.items():
        np.save(tmp_path / f"{name}.npy", array.astype(np.float32))
        fails("run", made.program, "--input", tmp_path / f"{name}.npy", "--output", tmp_path / "y.npy")
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04garbage")
    fails("run", made.program, "--input", tmp_path / "pickle.npy", "--output", tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()


def test_an_output_that_cannot_be_written(fails, made, tmp_path):
    (tmp_path / "file").write_text("in the way")
    text = fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "file" / "out")
    assert "-o" in text
    np.save(tmp_path / "x.npy", np.load(made.data)["x"])
    fails("run", made.program, "--input", tmp_path / "x.npy", "--output", tmp_path / "file" / "y.npy")
    assert (tmp_path / "file").read_text() == "in the way"


def test_constant_zero_and_dead_layers_have_defined_results(made, tmp_path):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3)).astype(np.float32)
    weight[:, 1] = 0
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="dead_channel"),
        helper.make_node("Gemm", ["h", "zero", "c"], ["y"], name="all_zero"),
    ]
    constants = {"w": weight, "b": np.array([0.1, 0.3, -0.2], np.float32)}
    constants |= {"zero": np.zeros((3, 2), np.float32), "c": np.array([1.5, -0.25], np.float32)}
    path = small_model(tmp_path / "m.onnx", nodes, constants, y_shape=(1, 2))
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(16, 4)).astype(np.float32))
    assert main(["quantize", str(path), "--data", str(tmp_path / "d.npz"), "-o", str(tmp_path / "out")]) == 0
    y = ig.load_program(tmp_path / "out" / "model.intaglio").run(rng.normal(size=(3, 4)).astype(np.float32))
    np.testing.assert_allclose(y, [[1.5, -0.25]] * 3, atol=0.01)


def test_ctrl_c_in_the_middle_leaves_nothing(made, tmp_path):
    x = np.random.default_rng(0).normal(size=(20000, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "long.npz", x=x)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "intaglio", "quantize", str(made.model), "--data", str(tmp_path / "long.npz")]
    process = subprocess.Popen(
        [*command, "--samples", "20000", "-o", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A suite that a script starts in the background ignores the signal, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not leftovers(out) and time.monotonic() < deadline:  # the temporary folder shows that work has begun
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, (process.returncode, err)
    assert err.strip() == "interrupted; nothing was written"
    assert leftovers(out) == []


def test_max_drop_needs_labelled_data(fails, made, tmp_path):
    assert "--eval" in quantize(fails, made, tmp_path, None, None, "--max-drop", "1")
    np.save(tmp_path / "x.npy", np.load(made.data)["x"])
    text = quantize(fails, made, tmp_path, None, None, "--max-drop", "1", "--eval", tmp_path / "x.npy")
    assert "labels are needed" in text
    text = quantize(fails, made, tmp_path, None, None, "--max-drop", "-1", "--eval", made.data)
    assert "max-drop: expected points of top1, 0 or more, got -1" in text


def test_without_data_something_has_to_be_known_of_the_input(fails, made, tmp_path):
    assert "--input-range LOW,HIGH" in quantize(fails, made, tmp_path, None, "none")  # no batch norm in this network
    for text in ("1,0", "nan,1", "0", "a,b"):
        assert "range" in quantize(fails, made, tmp_path, None, "none", f"--input-range={text}")
    assert "input-range" in quantize(fails, made, tmp_path, None, None, "--input-range=-1,1")
    for option in ("--smooth", "--clamp-weights", "--rounding=adaround"):
        text = quantize(fails, made, tmp_path, None, "none", "--input-range=-3,3", option)
        assert "expected data" in text


def test_two_runs_in_one_folder(fails, made, tmp_path):
    from intaglio.cli.output import whole_folder

    with whole_folder(tmp_path / "out"):
        text = fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "out")
    assert "another run is at work" in text
    assert leftovers(tmp_path / "out") == []


def test_an_interrupted_search_of_other_settings_is_refused(fails, made, tmp_path, monkeypatch, capsys):

    argv = ["quantize", made.model, "--data", made.data, "--eval", made.data, "--max-drop", "0", "-o", tmp_path / "out"]
    real = recipe_search._Search._measured

    def interrupted(self, stage, name, recipe):
        if stage == "recovery":
            raise KeyboardInterrupt
        return real(self, stage, name, recipe)

    monkeypatch.setattr(recipe_search._Search, "_measured", interrupted)
    monkeypatch.setattr(recipe_search._Search, "_holds", lambda self, attempt: False)
    assert main([str(a) for a in argv]) == 130
    assert "resumes where it stopped" in capsys.readouterr().err
    assert leftovers(tmp_path / "out") == [".search", "attempts.json"]
    text = fails(*argv, "--target", "int8-per-tensor")
    assert "other settings: target was cpu-int8, now int8-per-tensor" in text


def test_a_folder_without_write_permission(obeys_permissions, fails, made, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    assert "-o" in fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "out")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("sr", "--constant: expected NAME=VALUE such as sr=16000, got 'sr'"),
        ("=1", "--constant: expected NAME=VALUE"),
        ("sr=fast", "--constant: expected a number, true or false after NAME=, got 'sr=fast'"),
        ("sr=", "--constant: expected a number"),
        ("sr=1.5", "constant 'sr': expected numbers of the input's type INT64, got 1.5"),
        ("sr=1,2", "constant 'sr': expected shape (), got (2,)"),
        ("rate=1", "constant 'rate': expected one of the inputs ['sr', 'x'], got no such name"),
    ],
)
def test_constants_that_do_not_fit(fails, tmp_path, option, text):
    assert text in fails("inspect", rated(tmp_path), "--constant", option)


def test_a_bound_input_is_removed(fails, capsys, made, tmp_path):
    path = rated(tmp_path)
    assert "bind an input that is the same for every sample, with --constant sr=" in fails("inspect", path)
    assert "expected one value for 'sr'" in fails("inspect", path, "--constant", "sr=1", "--constant", "sr=2")
    assert main(["inspect", str(path), "--constant", "sr=16000", "--shape", "x=1,4"]) == 0
    assert "sr" not in capsys.readouterr().out.replace("input 'sr' is bound to the constant 16000", "")
    for option in ("--shape=x=1,4", "--constant=sr=1"):
        name = option[: option.index("=")]
        assert f"expected {name} only with a file .onnx or .tflite" in fails("inspect", made.program, option)


def rated(tmp_path):
    """A network whose second input is a number."""
    graph = helper.make_graph(
        [
            helper.make_node("Div", ["sr", "sr"], ["ratio"]),
            helper.make_node("Cast", ["ratio"], ["rate"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["x", "rate"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, (None, 4)),
            helper.make_tensor_value_info("sr", TensorProto.INT64, ()),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "rated.onnx")
    return tmp_path / "rated.onnx"
