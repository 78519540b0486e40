"""Files for a given opset and IR version: the same numbers in each, and errors that name what needs a later one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import ExportError, UsageError
from intaglio.export.opset import OLDEST
from intaglio.export.runtime import reads

NEWEST = onnx.defs.onnx_opset_version()
X = np.random.default_rng(0).normal(size=(6, 3, 8, 8)).astype(np.float32)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module", params=["cpu-int8", "w4a4", "w2a2", "xnor"])
def quantized(request: pytest.FixtureRequest) -> ig.Quantized:
    graph = ig.load(net(), torch.zeros(1, 3, 8, 8))
    return ig.quantize(graph, X, request.param, calibrator="max", equalize=False, bias_correction=False)


def types(path: Path) -> set[str]:
    return {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in onnx.load(path).graph.initializer}


def least(quantized: ig.Quantized) -> int:
    return 13 if quantized.plan.target == "cpu-int8" else 21


def in_runtime(path: Path) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # see `export.runtime`
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: X})
    return np.asarray(y)


def test_every_opset_holds_the_same_numbers(quantized: ig.Quantized, tmp_path: Path) -> None:
    want = quantized.lower().run(X)
    for opset in range(least(quantized), NEWEST + 1):
        path = tmp_path / f"{opset}.onnx"
        quantized.export(path, opset=opset)
        model = onnx.load(path)
        assert model.opset_import[0].version == opset
        np.testing.assert_array_equal(ig.load_quantized(path).lower().run(X), want)
        if reads(opset, model.ir_version) and opset >= 21:  # below, the 16-bit scores have no pair
            # Simulation and integers round alike but for ties: one step of a hidden value.
            assert np.abs(in_runtime(path) - want).max() <= 0.02 * np.abs(want).max()


def test_an_opset_that_is_too_old_is_refused_with_what_needs_more(quantized: ig.Quantized, tmp_path: Path) -> None:
    if least(quantized) > OLDEST:
        with pytest.raises(
            ExportError, match=r"opset: expected at least 21, got 20: \[value '.*'\] u?int4 needs opset 21"
        ):
            quantized.export(tmp_path / "m.onnx", opset=20)
    for opset in (OLDEST - 1, NEWEST + 1):
        text = rf"opset: expected {OLDEST} \(per-channel .* to {NEWEST}, .* onnx {onnx.__version__} .*got {opset}"
        with pytest.raises(ExportError, match=text):
            quantized.export(tmp_path / "m.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_two_bits_are_stored_as_such_from_opset_25_on(quantized: ig.Quantized, tmp_path: Path) -> None:
    low = quantized.plan.target in ("w2a2", "xnor")
    for opset in (24, 25):
        if opset >= least(quantized):
            quantized.export(tmp_path / "m.onnx", opset=opset)
            assert bool(types(tmp_path / "m.onnx") & {"INT2", "UINT2"}) == (low and opset == 25)
    quantized.export(tmp_path / "m.onnx")
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == least(quantized)


def test_an_operator_that_needs_a_later_opset_is_named(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)).eval()
    graph = ig.load(module, torch.zeros(1, 8))
    quantized = ig.quantize(graph, X.reshape(-1, 8), calibrator="max", bias_correction=False)
    with pytest.raises(
        ExportError, match=r"expected at least 17, got 16: \[LayerNormalization '.*'\] this form of the op"
    ):
        quantized.export(tmp_path / "m.onnx", opset=16)
    quantized.export(tmp_path / "m.onnx", opset=17)


def test_ir_versions(quantized: ig.Quantized, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    quantized.export(path, ir_version=10)
    assert onnx.load(path).ir_version == 10
    if least(quantized) > OLDEST:
        with pytest.raises(
            ExportError, match=r"ir_version: expected at least 10, got 9: \[value '.*'\] u?int4 needs IR v"
        ):
            quantized.export(path, ir_version=9)
    else:
        quantized.export(path, opset=18, ir_version=7)
        assert (onnx.load(path).opset_import[0].version, onnx.load(path).ir_version) == (18, 7)
    for version in (6, onnx.IR_VERSION + 1):
        with pytest.raises(ExportError, match=rf"ir_version: expected 7 to {onnx.IR_VERSION}, .*, got {version}"):
            quantized.export(path, ir_version=version)
    with pytest.raises(UsageError, match=r"m\.intaglio: expected opset and ir_version only with .* \.onnx"):
        quantized.export(tmp_path / "m.intaglio", opset=21)
