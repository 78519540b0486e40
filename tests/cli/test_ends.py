"""`--state`, `--input-dtype`, `--output-dtype`: streams are quantized, measured, run and compiled by the commands."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.cli import main

STATES = ("--state", "h=h_out", "--state", "c=c_out")


class Tagger(nn.Module):
    """One step of an LSTM, whose states are inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        y, (h, c) = self.layer(x, (h, c))
        return self.head(y), h, c


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.onnx; seq.npz: four sequences of 12 steps and what the network gives; out: results of `quantize`."""
    folder = tmp_path_factory.mktemp("tagger")
    torch.manual_seed(0)
    module = Tagger().eval()
    zero = torch.zeros(1, 1, 8)
    names = {"input_names": ["x", "h", "c"], "output_names": ["y", "h_out", "c_out"]}
    graph = (module, (torch.zeros(1, 1, 5), zero, zero), str(folder / "net.onnx"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(*graph, **names, dynamo=False)
    x = np.random.default_rng(0).normal(size=(4, 12, 1, 5)).astype(np.float32)
    y = []
    with torch.no_grad():
        for sequence in x:
            h = c = zero
            for frame in sequence:
                out, h, c = module(torch.from_numpy(frame[None]), h, c)
                y.append(out.numpy()[0])
    y = np.reshape(y, (4, 12, 1, 3))
    np.savez(folder / "seq.npz", x=x, y=y)
    np.savez(folder / "frames.npz", x=x[1], y=y[1])
    np.save(folder / "seq.npy", x)
    np.save(folder / "frames.npy", x[1])
    data = ("--data", folder / "seq.npz", "--eval", folder / "frames.npz", "--metric", "psnr")
    types = ("--input-dtype", "uint8", "--output-dtype", "y=float32", "--target", "tflite-int8")
    words = ("quantize", folder / "net.onnx", *data, *types, *STATES, "-o", folder / "out", "--json")
    assert main([str(word) for word in words]) == 0
    return folder


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_quantize_measures_streams_and_writes_states_and_types(folder: Path) -> None:
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert summary["float"]["value"] > 100
    assert 30 < summary["integer"]["value"] == pytest.approx(summary["simulated"]["value"], abs=0.1)
    assert summary["integer"]["samples"] == 12
    told = " ".join(summary["history"] if "history" in summary else map(str, summary["steps"]))
    assert "input 'x' has codes of uint8" in told
    assert "keeps what output 'h_out' gives for input 'h'" in told
    program = ig.load_program(folder / "out" / "model.intaglio")
    assert {state.input: state.output for state in program.states} == {"h": "h_out", "c": "c_out"}
    assert program.tensors["x"].type == ig.number.UINT8
    assert program.float_ends == ("y",)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_run_carries_the_states(folder: Path, tmp_path: Path, engine: str) -> None:
    if engine == "native" and shutil.which("gcc") is None:
        pytest.skip("needs gcc, which is not installed")
    program = ig.load_program(folder / "out" / "model.intaglio")
    data = np.load(folder / "seq.npz")["x"]
    want = []
    for sequence in data:
        stream = program.stream()
        want.append(np.concatenate([stream.step(frame[None]) for frame in sequence]))
    for name, expected in (("seq.npy", np.array(want)), ("frames.npy", want[1])):
        out = tmp_path / f"y{name}"
        run("run", folder / "out" / "model.intaglio", "--input", folder / name, "--output", out, "--engine", engine)
        np.testing.assert_array_equal(np.load(out), expected)
    codes = program.tensors["x"].params.quantize(data)  # type: ignore[union-attr]
    np.savez(tmp_path / "codes.npz", x=codes)
    words = ("--input", tmp_path / "codes.npz", "--output", tmp_path / "i.npy", "--integers", "--engine", engine)
    run("run", folder / "out" / "model.intaglio", *words)
    got = program.tensors["y"].params.dequantize(np.load(tmp_path / "i.npy"))  # type: ignore[union-attr]
    np.testing.assert_array_equal(got, want)


def test_evaluate_runs_sequences_from_the_initial_state(folder: Path, capsys: Any, fails: Any) -> None:
    def score(*words: object) -> float:
        run("evaluate", *words, "--metric", "mse", "--json")
        return float(json.loads(capsys.readouterr().out)["value"])

    program = folder / "out" / "model.intaglio"
    data = np.load(folder / "seq.npz")
    outputs = []
    for sequence in data["x"]:
        stream = ig.load_program(program).stream()
        outputs.append(np.concatenate([stream.step(frame[None]) for frame in sequence]))
    for name, got, want in (("seq", outputs, data["y"]), ("frames", outputs[1], data["y"][1])):
        error = float(np.mean((np.array(got, np.float64) - want) ** 2))
        assert score(program, "--data", folder / f"{name}.npz") == pytest.approx(error, abs=5e-5)
        assert score(folder / "net.onnx", "--data", folder / f"{name}.npz", *STATES) == pytest.approx(0, abs=1e-9)
    whole = ("evaluate", folder / "net.onnx", "--data", folder / "seq.npz", "--metric", "mse")
    assert "the model has 3 inputs" in fails(*whole)
    assert "states: expected an output (y, h_out, c_out), got 'z'" in fails(*whole, "--state", "h=z")
    assert "expected a program (.intaglio), got a Graph" in fails(*whole, *STATES, "--input-dtype", "int8")


def test_wrong_sequences_are_refused(folder: Path, tmp_path: Path, fails: Any) -> None:
    program = folder / "out" / "model.intaglio"
    np.save(tmp_path / "x.npy", np.zeros((4, 1, 6), np.float32))
    assert "'x'" in fails("run", program, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3, 4, 1, 5), np.float32), y=np.zeros((2, 3), np.float32))
    assert "expected samples of shape (1, 5)" in fails("evaluate", program, "--data", tmp_path / "d.npz")
    data = ("--data", folder / "seq.npz", "--eval", folder / "frames.npz", "--max-drop", "1", "-o", tmp_path / "o")
    assert "max-drop: expected no states beside it" in fails("quantize", folder / "net.onnx", *data, *STATES)


def test_types_on_the_command_line(made: Any, tmp_path: Path, fails: Any, capsys: Any) -> None:
    output = (ig.load_program(made.program).outputs)[0]
    words = ("compile", made.program, "--machine", "portable", "-o", tmp_path / "c", "--no-build")
    run(*words, "--input-dtype", "int8", "--output-dtype", f"{output}=int16")
    header = " ".join((tmp_path / "c" / "model.h").read_text().split())
    assert "MODEL_INPUT_TYPE int8_t" in header
    assert "MODEL_OUTPUT_TYPE int16_t" in header
    assert "MODEL_OUTPUT_ZERO_POINT 0" in header
    run(*words, "--output-dtype", "float32")
    assert "int model_run_float(const uint8_t *input, float *output, " in (tmp_path / "c" / "model.h").read_text()
    capsys.readouterr()
    for more, text in (
        (("--input-dtype", "int4"), "--input-dtype: expected float32 or int8 or uint8 or int16, such as input=uint8"),
        (2 * ("--input-dtype", "int8"), "expected one type for all inputs, got another with 'int8'"),
        (("--output-dtype", "z=int8"), f"output type: expected one of the outputs {output}, got 'z'"),
        (("--io-dtype", "int8"), "--io-dtype: expected uint8 (pictures of pixels 0 to 255), got 'int8'"),
        (("--io-dtype", "z=uint8"), "name: expected one of the inputs"),
    ):
        assert text in fails(*words, *more)


def test_codes_of_another_type_in_and_out(made: Any, tmp_path: Path) -> None:
    program = ig.load_program(made.program)
    x = np.load(made.data)["x"][:5]
    codes = program.quantize_inputs(x)[0]
    np.save(tmp_path / "x.npy", (codes.astype(int) - 128).astype(np.int8))
    words = ("--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--integers")
    run("run", made.program, *words, "--input-dtype", "int8")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), program.run_int(codes))
