"""Trained networks that Keras 2 saved as .h5: loaded, and compared with what their makers converted from them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from intaglio_tests.keras_nets import keras_or_skip
from intaglio_tests.onnx_net import assert_same, count, run

from intaglio.frontends import load
from intaglio.graph import shape

# (the same network converted by others, largest input, what is left of it)
FILES = {
    "mlperf-tiny/pretrainedResnet.h5": (
        "mlperf-tiny/pretrainedResnet.tflite",
        255,
        "Transpose:1 Conv:9 Relu:7 Add:3 GlobalAveragePool:1 Reshape:1 Gemm:1 Softmax:1",
    ),
    "mlperf-tiny/vww_96.h5": (
        "mlperf-tiny/vww_96_float.tflite",
        1,
        "Transpose:1 Conv:27 Relu:27 GlobalAveragePool:1 Reshape:1 Gemm:1 Softmax:1",
    ),
    # ad01_fp32.tflite is no conversion of ad01.h5: its weights are those of another training
    "mlperf-tiny/ad01.h5": ("mlperf-tiny/ad_autoencoder.onnx", 1, "Gemm:10 Relu:9"),
    "flowers/mobilenet_v2_0.35_128.h5": (
        "flowers/mobilenet_v2_0.35_128.onnx",
        1,
        "Transpose:1 Conv:52 Clip:35 Add:10 GlobalAveragePool:1 Reshape:1 Gemm:1 Softmax:1",
    ),
    "imagenet/mobilenet_v1_0.25_224.h5": (
        "imagenet/mobilenet_v1_0.25_224.onnx",
        1,
        "Transpose:1 Conv:28 Clip:27 GlobalAveragePool:1 Reshape:1 Softmax:1",
    ),
}


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    return keras_or_skip()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_legacy_file_computes_what_its_conversion_does(
    name: str, keras: ModuleType, shared_data: Path, rng: np.random.Generator
) -> None:
    twin, largest, left = FILES[name]
    graph = load(shared_data / name)
    assert graph.batched
    x = rng.uniform(0, largest, shape(graph.inputs[0])).astype(np.float32)
    (input_,) = graph.inputs
    assert_same(run(graph, {str(input_.name): x}), [converted(shared_data / twin, x)], 1e-4)
    assert dict(count(graph)) == {kind: int(number) for kind, number in (item.split(":") for item in left.split())}


def converted(path: Path, x: np.ndarray) -> np.ndarray:
    """What the converted file computes."""
    if path.suffix == ".onnx":
        model = onnx.load(path)
        return run(model, {model.graph.input[0].name: x})[0]
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert (extra `peers`)")
    runner = interpreter.Interpreter(
        str(path), experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_REF, num_threads=1
    )
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], x)
    runner.invoke()
    return np.array(runner.get_tensor(runner.get_output_details()[0]["index"]))


def test_no_keras_file_is_left_out(shared_data: Path) -> None:
    found = {
        path.relative_to(shared_data).as_posix() for kind in ("h5", "keras") for path in shared_data.rglob(f"*.{kind}")
    }
    assert found == set(FILES)
