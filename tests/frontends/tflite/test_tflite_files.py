"""Networks that others wrote as .tflite: every tensor equals LiteRT's reference kernels, and C equals the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.litert import compare, interpreter_of, random_inputs, run_reference

import intaglio as ig
from intaglio.frontends.tflite.contents import read_contents
from intaglio.number import Rule
from intaglio.simulate import Simulator

QUANTIZED = (
    "foreign-int8/tflm/models/hello_world_int8.tflite",
    "foreign-int8/tflm/micro_speech_quantized.tflite",
    "mlperf-tiny/ad01_int8.tflite",
    "mlperf-tiny/kws_ref_model.tflite",
    "mlperf-tiny/pretrainedResnet_quant.tflite",
    "mlperf-tiny/vww_96_int8.tflite",
    "foreign-int8/mobilenet_v1_0.25_128_quant.tflite",
    "flowers/mobilenet_v2_0.35_128_int8.tflite",
)
LARGE = (
    "flowers/mobilenet_v2_0.35_224_int8.tflite",
    "foreign-int8/mobilenet_v2_1.0_224_quant.tflite",
    "foreign-int8/tf2_mobilenet_v2_1.0_224_ptq.tflite",
)
FILES = (*QUANTIZED, *(pytest.param(file, marks=pytest.mark.slow) for file in LARGE))
FLOAT = {
    "foreign-int8/tflm/models/hello_world_float.tflite": 110,
    "mlperf-tiny/ad01_fp32.tflite": 110,
    "mlperf-tiny/pretrainedResnet.tflite": 110,
    "mlperf-tiny/vww_96_float.tflite": 110,
    "packaged/face_detection_short_range.tflite": 110,
    "packaged/palm_detection_lite.tflite": 110,
    "packaged/speech_embedding.tflite": 110,
    "speech/dtln/model_1.tflite": 110,
    "speech/dtln/model_2.tflite": 110,
    # LiteRT quantizes the activations of these at run time.
    "mlperf-tiny/kws_ref_model_float32.tflite": 30,
    "speech/dtln/model_quant_1.tflite": 30,
    "speech/dtln/model_quant_2.tflite": 30,
    "speech/kwt1_float.tflite": 110,
}


def real_inputs(path: Path, count: int = 2) -> list[np.ndarray]:
    """Inputs of the kind that the network was made for, where the data have some."""
    found = path.with_name(f"{path.stem}_litert_io.npz")
    return list(np.load(found)["input"][:count]) if found.exists() else []


@pytest.mark.parametrize("file", FILES)
def test_every_tensor_equals_the_reference_kernels(file: str, shared_data: Path, rng: np.random.Generator) -> None:
    path = shared_data / file
    program = ig.load_quantized(path).lower()
    assert program.rule is Rule.TFLITE
    contents, interpreter = read_contents(path.read_bytes(), file), interpreter_of(path.read_bytes())
    computed = sum(len(op.outputs) for op in contents.operators if op.kind != "DEQUANTIZE")
    given = [random_inputs(contents, rng), random_inputs(contents, rng, "extreme")]
    given += [{contents.inputs[0].index: x} for x in real_inputs(path)]
    for inputs in given:
        found = compare(path, program, inputs, interpreter)
        assert not found.differing
        assert not found.missing
        assert sum(found.compared.values()) == computed


@pytest.mark.parametrize("file", FILES)
def test_compiled_c_equals_the_program(file: str, shared_data: Path, rng: np.random.Generator, tmp_path: Path) -> None:
    path = shared_data / file
    program = ig.load_quantized(path).lower()
    contents = read_contents(path.read_bytes(), file)
    native = ig.compile(program, machine="host", directory=tmp_path)
    for x in [random_inputs(contents, rng)[contents.inputs[0].index], *real_inputs(path, 1)]:
        for ours, reference in zip(as_tuple(native.run_int(x)), as_tuple(program.run_int(x)), strict=True):
            np.testing.assert_array_equal(ours, reference)


def as_tuple(found: np.ndarray | tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("file", FLOAT)
def test_float_files_compute_the_same(file: str, shared_data: Path, rng: np.random.Generator) -> None:
    path = shared_data / file
    graph = ig.load(path)
    contents, interpreter = read_contents(path.read_bytes(), file), interpreter_of(path.read_bytes())
    inputs = random_inputs(contents, rng)
    run_reference(interpreter, inputs)
    ours = Simulator(graph).run(*(inputs[tensor.index] for tensor in contents.inputs))
    assert [v.name for v in graph.inputs] == [tensor.name for tensor in contents.inputs]
    for tensor, y in zip(contents.outputs, ours, strict=True):
        want = interpreter.get_tensor(tensor.index)
        assert y.shape == want.shape
        noise = float(np.sum((y.astype(np.float64) - want) ** 2)) + 1e-30
        assert 10 * np.log10(float(np.sum(want.astype(np.float64) ** 2)) / noise) > FLOAT[file]


def test_a_quantized_file_is_no_float_network(shared_data: Path) -> None:
    with pytest.raises(ig.IntaglioError, match="already quantized; intaglio.load_quantized"):
        ig.load(shared_data / QUANTIZED[0])


def test_a_float_file_is_not_quantized(shared_data: Path) -> None:
    with pytest.raises(ig.IntaglioError, match="got one without QuantizeLinear"):
        ig.load_quantized(shared_data / "mlperf-tiny/ad01_fp32.tflite")
