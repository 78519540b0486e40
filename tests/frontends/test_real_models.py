"""The trained networks of the shared data: loaded, prepared, and still the same function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import assert_same, count, feeds_for, run

from intaglio.frontends import load, load_onnx, prepare
from intaglio.graph import Graph, attribute, constant, consumers, shape

# What is left of each network: everything a quantizer would stumble over is gone.
_LEFT: dict[str, str] = {
    "cifar10/resnet20.onnx": "Conv:19 Relu:19 Add:9 Slice:2 Pad:2 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "cifar10/resnet20_bn.onnx": "Conv:19 Relu:19 Add:9 Slice:2 Pad:2 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "cifar10/mobilenetv2.onnx": "Conv:52 Clip:35 Add:10 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "cifar10/mobilenetv2_relu.onnx": "Conv:52 Relu:35 Add:10 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "cifar10/mobilenetv2_rescaled.onnx": "Conv:52 Relu:35 Add:10 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "flowers/mobilenet_v2_0.35_128.onnx": "Transpose:1 Conv:52 Clip:35 Add:10 GlobalAveragePool:1 "
    "Reshape:1 Gemm:1 Softmax:1",
    "flowers/mobilenet_v2_0.35_224.onnx": "Transpose:1 Conv:52 Clip:35 Add:10 GlobalAveragePool:1 "
    "Reshape:1 Gemm:1 Softmax:1",
    "foreign-int8/ort/resnet20_fp32.onnx": "Conv:19 Relu:19 Add:9 Slice:2 Pad:2 GlobalAveragePool:1 Reshape:1 Gemm:1",
    "imagenet/mobilenet_v1_0.25_224.onnx": "Transpose:1 Conv:28 Clip:27 GlobalAveragePool:1 Reshape:1 Softmax:1",
    "mlperf-tiny/ad_autoencoder.onnx": "Gemm:10 Relu:9",
    "mlperf-tiny/resnet8.onnx": "Transpose:1 Conv:9 Relu:7 Add:3 GlobalAveragePool:1 Reshape:1 Gemm:1 Softmax:1",
    "mlperf-tiny/vww_mobilenet_v1_0.25.onnx": "Transpose:1 Conv:27 Relu:27 GlobalAveragePool:1 "
    "Reshape:1 Gemm:1 Softmax:1",
    "speech/dtln/model_1.onnx": "Slice:4 Reshape:6 LSTM:2 MatMul:3 Concat:3 Add:1 Sigmoid:1",
    "speech/dtln/model_2.onnx": "Reshape:15 Slice:4 Conv:2 Gemm:5 LayerNormalization:1 Add:7 "
    "Split:2 Sigmoid:7 Tanh:4 Mul:7 Concat:3",
}
PREPARED = {
    name: {kind: int(number) for kind, number in (item.split(":") for item in left.split())}
    for name, left in _LEFT.items()
}

# Networks out of public packages and other trained ones: (sizes to fix, inputs to bind).
OTHERS: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, float]]] = {
    "camvid/espnet_camvid.onnx": ({}, {}),
    "imagenet/efficientnet_lite0.onnx": ({}, {}),
    "packaged/aecmos_gru.onnx": ({"input": (1, 3, 20, 160)}, {"h0": 0}),
    "packaged/dnsmos_sig.onnx": ({}, {}),
    "packaged/magika.onnx": ({}, {}),
    "packaged/melspectrogram.onnx": ({"input": (1, 16000)}, {}),
    "packaged/ppocr_v2_cls.onnx": ({"x": (1, 3, 48, 192)}, {}),
    "packaged/ppocr_v4_det.onnx": ({"x": (1, 3, 64, 64)}, {}),
    "packaged/silero_vad_v6_16k_op15.onnx": ({"input": (1, 576)}, {"sr": 16000}),
    "packaged/silero_vad_v6_16k_sequence.onnx": ({"input": (4, 576)}, {}),
    "packaged/silero_vad_v6_ifless.onnx": ({"input": (1, 576)}, {"sr": 16000}),
    "packaged/speech_embedding.onnx": ({}, {}),
    "packaged/swift_f0.onnx": ({"audio": (1, 8000)}, {"fmin": 46.875, "fmax": 2093.75}),
    "packaged/wakeword_lstm_mycroft.onnx": ({}, {}),
}
QUANTIZED = ["resnet20_qdq_s8s8_perchannel", "resnet20_qdq_u8s8_pertensor", "resnet20_qop_u8s8_perchannel"]


@pytest.mark.parametrize("name", PREPARED)
def test_prepared_network_computes_the_same(name: str, shared_data: Path, rng: np.random.Generator) -> None:
    model = onnx.load(shared_data / name)
    loaded = load_onnx(shared_data / name)
    feeds = feeds_for(model, rng)
    wanted = run(model, feeds)
    assert_same(run(loaded, feeds), wanted, 1e-6)
    graph = prepare(loaded)
    assert_same(run(graph, feeds), wanted, 1e-4)
    assert dict(count(graph)) == PREPARED[name]
    assert prepare(graph).history == graph.history


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_compute_the_same(name: str, shared_data: Path, rng: np.random.Generator) -> None:
    path, (shapes, constants) = shared_data / name, OTHERS[name]
    graph = load(path, shapes=shapes, constants=constants)
    feeds = {str(v.name): rng.uniform(0.1, 0.9, shape(v)).astype(np.float32) for v in graph.inputs}
    for v in graph.inputs:
        if v.dtype != ir.DataType.FLOAT:  # bytes of a file
            assert v.dtype is not None
            feeds[str(v.name)] = rng.integers(0, 256, shape(v)).astype(v.dtype.numpy())
    model = onnx.load(path)
    bound = {}
    for value in model.graph.input:
        if value.name in constants:
            kind = value.type.tensor_type
            sizes = [size.dim_value for size in kind.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
            bound[value.name] = np.full(sizes, constants[value.name], dtype)
    assert_same(run(graph, feeds), run(model, {**feeds, **bound}), 1e-3)


def test_no_float_network_is_left_out(shared_data: Path) -> None:
    found = {path.relative_to(shared_data).as_posix() for path in shared_data.rglob("*.onnx")}
    assert found == set(PREPARED) | set(OTHERS) | {f"foreign-int8/ort/{name}.onnx" for name in QUANTIZED}


@pytest.mark.parametrize("name", [name for name in PREPARED if not name.startswith("speech/dtln/model_1")])
def test_image_networks_run_on_any_batch(name: str, shared_data: Path, rng: np.random.Generator) -> None:
    graph = prepare(load_onnx(shared_data / name))
    assert graph.batched
    proto = graph.proto()
    together = feeds_for(proto, rng, batch=2)
    each = [run(graph, {key: value[i : i + 1] for key, value in together.items()}) for i in range(2)]
    assert_same(run(graph, together), [np.concatenate(rows) for rows in zip(*each, strict=True)], 1e-5)


def chains(graph: Graph) -> list[tuple[str, ...]]:
    """What reads each convolution."""
    return [
        tuple(user.op_type for user in consumers(node.outputs[0])) for node in graph.nodes if node.op_type == "Conv"
    ]


def test_keras_mobilenet_is_convolutions_with_bias_and_their_clamps(shared_data: Path) -> None:
    graph = prepare(load_onnx(shared_data / "imagenet/mobilenet_v1_0.25_224.onnx"))
    assert chains(graph) == [("Clip",)] * 27 + [("Reshape",)]
    for node in graph.nodes:
        if node.op_type == "Conv":
            assert len(node.inputs) == 3
            assert constant(node.inputs[2]).shape == (constant(node.inputs[1]).shape[0],)
    strided = [
        attribute(node, "pads") for node in graph.nodes if node.op_type == "Conv" and attribute(node, "strides")[0] == 2
    ]
    assert strided == [(0, 0, 1, 1)] * 5  # the Pad in front of each has become part of it


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_files_are_loaded_as_they_are(name: str, shared_data: Path) -> None:
    path = shared_data / "foreign-int8" / "ort" / f"{name}.onnx"
    graph = load_onnx(path, keep_quantized=True)
    assert graph.batched
    io = np.load(path.with_name("resnet20_io.npz"))
    x = next(array for array in io.values() if array.ndim == 4)[:8].astype(np.float32)
    assert_same(run(graph, {"input": x}), run(onnx.load(path), {"input": x}), 1e-6)
    kinds = count(graph)
    assert not kinds["Shape"] + kinds["ConstantOfShape"] + kinds["Gather"]
    if "qdq" in name:
        weights = [n for n in graph.nodes if n.op_type == "DequantizeLinear" and constant(n.inputs[0]) is not None]
        assert len(weights) == 40  # weight and bias of 19 convolutions and a dense layer
