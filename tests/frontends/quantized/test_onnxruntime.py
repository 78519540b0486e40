"""Files of ONNX Runtime's quantizer, in all its modes: the same integers, and the same results."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from intaglio_tests.qdq_net import run_ort, small_net
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.lower import lower
from intaglio.number import INT32
from intaglio.ops import Role
from intaglio.plan import Plan

RUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))

TYPES = {
    "u4": QuantType.QUInt4,
    "s4": QuantType.QInt4,
    "u8": QuantType.QUInt8,
    "s8": QuantType.QInt8,
    "u16": QuantType.QUInt16,
    "s16": QuantType.QInt16,
}
MODES = [
    ("QDQ", "u8", "s8", True, {}),
    ("QDQ", "u8", "s8", False, {}),
    ("QDQ", "s8", "s8", True, {}),
    ("QDQ", "u8", "u8", False, {}),
    ("QDQ", "s8", "s8", True, {"ActivationSymmetric": True}),
    ("QDQ", "u16", "s8", True, {}),
    ("QDQ", "s16", "s8", False, {"UseQDQContribOps": True}),
    ("QDQ", "u8", "s8", True, {"DedicatedQDQPair": True}),
    ("QDQ", "u8", "s8", True, {"AddQDQPairToWeight": True}),
    ("QDQ", "u8", "s8", True, {"QuantizeBias": False}),
    ("QDQ", "u8", "s8", True, {"OpTypesToExcludeOutputQuantization": ["Gemm"]}),
    ("QOperator", "u8", "s8", True, {}),
    ("QOperator", "u8", "s8", False, {}),
    ("QOperator", "s8", "s8", True, {}),
    ("QOperator", "u8", "u8", False, {}),
]


class Reader(CalibrationDataReader):
    def __init__(self, x: np.ndarray) -> None:
        self.batches: Iterator[dict[str, np.ndarray]] = iter([{"x": part} for part in np.split(x, 4)])

    def get_next(self) -> Any:
        return next(self.batches, None)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((64, 3, 8, 8)).astype(np.float32)


def quantized_by_ort(mode: tuple[Any, ...], data: np.ndarray, folder: Path, opset: int = 17) -> Path:
    form, activations, weights, per_channel, options = mode
    onnx.save(small_net(opset), folder / "float.onnx")
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            folder / "float.onnx",
            folder / "quantized.onnx",
            Reader(data),
            quant_format=QuantFormat[form],
            activation_type=TYPES[activations],
            weight_type=TYPES[weights],
            per_channel=per_channel,
            extra_options=options,
        )
    finally:
        logging.disable(logging.NOTSET)
    return folder / "quantized.onnx"


@pytest.mark.filterwarnings("ignore")  # onnxruntime's own
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(map(str, mode)))
def test_every_mode(mode: tuple[Any, ...], data: np.ndarray, tmp_path: Path) -> None:
    path = quantized_by_ort(mode, data, tmp_path)
    graph, plan, history = load_quantized_graph(path)
    assert history
    assert [v.name for v in graph.inputs] == ["x"]
    assert [v.name for v in graph.outputs] == ["logits"]
    assert all(value.why for value in plan.values.values())
    assert_integers_are_those_of(onnx.load(path), graph, plan)
    program = lower(graph, plan)
    assert program.batched
    ours, theirs = program.run(data), run_ort(path, data, exact=mode[0] == "QDQ")
    # Averages of 16 integers are often ties, and ONNX Runtime rounds them to even; one step of the mean is up to
    # three of the scores.
    steps = np.abs(ours - theirs) / (theirs.max() - theirs.min()) * 255
    assert steps.max() <= 4
    assert steps.mean() < 0.5
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.98


@pytest.mark.filterwarnings("ignore")  # onnxruntime's own
@pytest.mark.parametrize("options", [{}, {"AddQDQPairToWeight": True}, {"UseQDQContribOps": True}], ids=str)
@pytest.mark.parametrize("types", [("u8", "s4"), ("s8", "u4"), ("u16", "s4"), ("s16", "s16")], ids="-".join)
@pytest.mark.parametrize("opset", [13, 20, 21, 23])
def test_types_younger_than_the_opset(
    opset: int, types: tuple[str, str], options: dict[str, bool], data: np.ndarray, tmp_path: Path
) -> None:
    """Below opset 21 ONNX's own pair has no 4 bits; ONNX Runtime's quantizer writes its own domain's (or, for 16 bits,
    raises the opset)."""
    if RUNTIME <= (1, 23):
        pytest.skip(f"needs an onnxruntime whose quantizer writes these types, got {onnxruntime.__version__}")
    path = quantized_by_ort(("QDQ", *types, False, options), data, tmp_path, opset)
    foreign = {node.domain for node in onnx.load(path).graph.node if node.op_type == "DequantizeLinear"}
    assert ("com.microsoft" in foreign) == ((opset < 21 and "8" in types[0]) or "UseQDQContribOps" in options)
    graph, plan, _ = load_quantized_graph(path)
    assert_integers_are_those_of(onnx.load(path), graph, plan)
    ours, theirs = lower(graph, plan).run(data), run_ort(path, data, "ORT_DISABLE_ALL")
    steps = np.abs(ours - theirs) / float(plan.params("logits").scale)  # type: ignore[union-attr]
    assert steps.max() <= (4 if types[0].endswith("8") else 16)  # of the scores, in the file's own steps


def assert_integers_are_those_of(model: onnx.ModelProto, graph: Any, plan: Plan) -> None:
    """Every weight and bias requantizes to an integer constant of the file, every scale is one of the file's."""
    arrays = [onnx.numpy_helper.to_array(i) for i in model.graph.initializer]
    integers = {a.astype(np.int64).tobytes() for a in arrays if a.dtype.kind in "iu"}
    scales = {float(s) for a in arrays if a.dtype == np.float32 for s in a.reshape(-1)}
    float_constants = {a.tobytes() for a in arrays if a.dtype == np.float32}
    seen = 0
    for value in graph.initializers:
        if str(value.name) not in plan.values:
            continue
        params, array = plan.params(str(value.name)), value.const_value.numpy()
        assert params is not None
        if array.tobytes() in float_constants:
            continue  # quantized by a QuantizeLinear in the file, or float
        if params.type == INT32:
            codes = np.rint(array.astype(np.float64) / params.scale)
        else:
            codes = params.quantize(array)
            assert {float(s) for s in params.scale.reshape(-1)} <= scales
        if codes.astype(np.int64).tobytes() in integers:
            seen += 1
        else:
            assert params.type != INT32 or "float in the file" in plan[str(value.name)].why or len(array) == 0
    for value in plan.values.values():
        if value.role is Role.ACTIVATION and value.why.startswith("as the file says"):
            assert float(plan.params(value.name).scale) in scales  # type: ignore[union-attr]
    assert seen or not any(a.dtype == np.int8 and a.ndim == 4 for a in arrays)


@pytest.mark.parametrize(
    "name", ["resnet20_qdq_s8s8_perchannel", "resnet20_qdq_u8s8_pertensor", "resnet20_qop_u8s8_perchannel"]
)
def test_resnet20_on_images(name: str, shared_data: Path) -> None:
    folder = shared_data / "foreign-int8" / "ort"
    arrays = np.load(folder / "resnet20_io.npz")
    graph, plan, _ = load_quantized_graph(folder / f"{name}.onnx")
    assert_integers_are_those_of(onnx.load(folder / f"{name}.onnx"), graph, plan)
    ours, theirs = lower(graph, plan).run(arrays["input"]), arrays[name]
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.99
    step = float(plan.params(str(graph.outputs[0].name)).scale)  # type: ignore[union-attr]
    # Where float32 leaves a sum on the other side of a half, one code differs; an early one is three steps of a score.
    assert np.abs(ours - theirs).max() <= 3.001 * step
    assert np.abs(ours - theirs).mean() <= 0.15 * step
