"""Errors of calls and commands say what to do instead, and what has no effect is said."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import ExportError, ModelError, ProgramError, TargetError, UsageError


@pytest.fixture(scope="module")
def quantized(made) -> ig.Quantized:
    x = np.load(made.data)["x"]
    return ig.quantize(made.model, x, calibrator="max", equalize=False, bias_correction=False)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda q, m: q.export("a.onnx", opset="17"), UsageError, "opset: expected a whole number, got '17', a str"),
        (lambda q, m: q.export("a.onnx", opset=17.0), UsageError, "opset: expected a whole number, got 17.0"),
        (lambda q, m: q.export("a.onnx", ir_version="8"), UsageError, "ir_version: expected a whole number"),
        (lambda q, m: q.export("a.onnx", opset=3), ExportError, "opset: expected 13"),
        (lambda q, m: ig.quantize(m.model, str(m.data), samples="5"), UsageError, "samples: expected a whole number"),
        (lambda q, m: ig.evaluate(q, str(m.data), limit="5"), UsageError, "expected a whole number, got '5'"),
        (lambda q, m: ig.quantize(m.model, str(m.data), 3), TargetError, "target: expected a name such as cpu-int8"),
        (lambda q, m: ig.evaluate(q, str(m.data), "accuracy"), UsageError, "got 'accuracy'; did you mean top1?"),
        (lambda q, m: ig.evaluate(q, str(m.data), "IoU"), UsageError, "did you mean mIoU?"),
        (lambda q, m: ig.evaluate(q, str(m.data), "spearmann"), UsageError, "did you mean spearman?"),
        (
            lambda q, m: ig.quantize("nets:resdw", str(m.data)),
            UsageError,
            "got the name of a factory, which commands take; "
            "in Python call it: from nets import resdw, then give resdw()",
        ),
        (lambda q, m: ig.load("nets:resdw", torch.zeros(1)), UsageError, "in Python call it: from nets import resdw"),
        (lambda q, m: ig.evaluate("nets:resdw", str(m.data)), UsageError, "in Python call it: from nets import resdw"),
        (lambda q, m: ig.load_quantized(m.program), UsageError, "in Python intaglio.load_program(path)"),
        (lambda q, m: ig.quantize(m.model, str(m.data), plan=q), UsageError, "plan: expected a Plan, such as q.plan"),
        (
            lambda q, m: ig.quantize(m.model, str(m.data), recipe="fast"),
            UsageError,
            "recipe: expected an intaglio",
        ),
        (
            lambda q, m: ig.quantize(m.model, str(m.data), max_drop="1", eval_data=str(m.data)),
            UsageError,
            "max-drop: expected a number, got '1', a str",
        ),
        (
            lambda q, m: ig.quantize(m.model, str(m.data), rounding="adaround", iterations="5"),
            UsageError,
            "iterations: expected a whole number, got '5', a str",
        ),
        (lambda q, m: ig.compile(q.lower(), threads="2"), UsageError, "threads: expected a whole number, got '2'"),
        (lambda q, m: ig.bench(q.lower(), threads="2"), UsageError, "threads: expected a whole number, got '2'"),
        (lambda q, m: ig.train(m.model, str(m.data), steps="3"), UsageError, "steps: expected a whole number, got '3'"),
        (lambda q, m: ig.train(m.model, str(m.data), lr="3"), UsageError, "lr: expected a number, got '3', a str"),
        (lambda q, m: ig.train(m.model, str(m.data), held_back="3"), UsageError, "held-back: expected a whole number"),
        (lambda q, m: ig.freeze(q), UsageError, "freeze: expected a module of prepare_qat or of layers"),
        (lambda q, m: ig.load("none.onnx"), ModelError, "none.onnx: expected a model file, got nothing there"),
        (lambda q, m: ig.bench(q), UsageError, "got Quantized; its method lower() makes a Program"),
        (lambda q, m: ig.bench(q.graph), UsageError, "got Graph; intaglio.quantize(model, data).lower() makes"),
        (lambda q, m: ig.bench(q.lower(), peers="nosuch,torch"), UsageError, "openvino, litert, torch, got nosuch"),
        (lambda q, m: q.lower().save("a.onnx"), ProgramError, "a.onnx: expected a name that ends in .intaglio"),
        (
            lambda q, m: ig.load_program(m.model),
            ProgramError,
            "`intaglio run`, `bench`, `compile` and `inspect` take a file in QDQ or QOperator form as it is",
        ),
    ],
)
def test_wrong_calls(made, quantized, tmp_path, monkeypatch, call: Any, kind: type[Exception], text: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=re.escape(text)):
        call(quantized, made)
    assert not list(tmp_path.iterdir())


def test_layers_that_change_nothing_are_named(made) -> None:
    x = np.load(made.data)["x"]
    last = str(ig.load(made.model).nodes[-1].name)
    fast = {"calibrator": "max", "equalize": False, "bias_correction": False}
    plain = ig.quantize(made.model, x, **fast)
    assert plain.plan[str(plain.graph.outputs[0].name)].format.type.bits == 16
    q = ig.quantize(made.model, x, ignored=[last], layers={"first": "a16"}, **fast)
    text = f"{last}=widest has no effect: its layers have the same formats without it"
    assert [sentence for sentence in q.history if "no effect" in sentence] == [text]


def test_a_quantized_file_is_timed_beside_onnxruntime_and_inspected(made, quantized, tmp_path, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra `peers`)")
    quantized.export(tmp_path / "q.onnx")
    argv = ["bench", tmp_path / "q.onnx", "--peers", "onnxruntime", "--rounds", "1", "-o", tmp_path / "build"]
    assert main(list(map(str, argv))) == 0
    out = capsys.readouterr().out
    assert "onnxruntime int8" in out
    assert "not timed" not in out
    ig.load_quantized(tmp_path / "q.onnx").lower().save(tmp_path / "q.intaglio")
    assert main(["inspect", str(tmp_path / "q.intaglio")]) == 0
    assert "integer-only program for the scales of a quantized file" in " ".join(capsys.readouterr().out.split())


def test_run_leaves_out_labels(made, tmp_path) -> None:
    argv = ["run", made.program, "--input", made.data, "--output", tmp_path / "y.npy"]
    assert main(list(map(str, argv))) == 0
    np.testing.assert_array_equal(
        np.load(tmp_path / "y.npy"), ig.load_program(made.program).run(np.load(made.data)["x"])
    )


def test_an_unknown_option_is_not_confused_with_one_that_only_has_dashes(fails, made, tmp_path) -> None:
    text = fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "o", "--zigzag", "tflite")
    assert "unrecognized arguments: --zigzag tflite; see" in text
    text = fails("quantize", made.model, "--data", made.data, "-o", tmp_path / "o", "--calibratr", "max")
    assert "(did you mean --calibrator?)" in text
