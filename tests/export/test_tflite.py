"""Programs as .tflite files: LiteRT's reference kernels compute the Program's integers, or the operator is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from intaglio_tests.litert import differences, interpreter_of
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from intaglio_tests.operator_nets import lowered, model
from torch import nn

import intaglio as ig
from intaglio.cli import main
from intaglio.errors import ExportError, LoweringError
from intaglio.export.tflite.write_tflite import REFUSED, ROWS, tflite_content
from intaglio.frontends.onnx import load_onnx
from intaglio.program import Program
from intaglio.program.operator import OPERATORS

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert (extra `peers`)")
SEEN: set[str] = set()


def first_of_each(case: Case) -> object:
    """The first case of each operator; the others take minutes together."""
    new = bool(case.op_types - SEEN)
    SEEN.update(case.op_types)
    return pytest.param(case, id=case.name, marks=() if new else pytest.mark.slow)


def random_codes(program: Program, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Uniform codes of every input."""
    infos = [program.tensors[name] for name in program.inputs]
    return {i.name: rng.integers(i.type.qmin, i.type.qmax + 1, i.shape).astype(i.type.dtype) for i in infos}


@pytest.mark.parametrize("case", [first_of_each(case) for case in CASES])
def test_an_operator_has_the_same_integers_or_is_refused_by_name(case: Case, rng: np.random.Generator) -> None:
    graph = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
    try:
        made = lowered(graph, "tflite-int8", inputs_of(case, graph, 3))
    except LoweringError:
        pytest.skip("is not lowered for tflite-int8")
    program = made.program
    try:
        content = tflite_content(program)
    except ExportError as error:
        lines = str(error).splitlines()[1:]
        names = [f"  - [{node.operator.kind} {node.name!r}] " for node in program.nodes]
        assert lines
        assert all(any(line.startswith(name) for name in names) for line in lines)
        return
    real = [x[:1] if program.batched else x for x in made.x.values()]
    given = dict(zip(program.inputs, program.quantize_inputs(*real), strict=True))
    assert not differences(content, program, given)
    if all(program.tensors[name].params is not None for name in program.inputs):
        assert not differences(content, program, random_codes(program, rng))


def test_every_integer_operator_has_a_row_or_a_reason() -> None:
    assert not set(ROWS) & set(REFUSED)
    assert set(ROWS) | set(REFUSED) == set(OPERATORS)


def image_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, stride=2, groups=8),
        nn.Hardtanh(-0.5, 1.5),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


@pytest.fixture(scope="module")
def quantized() -> ig.Quantized:
    x = np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32)
    graph = ig.load(image_net(), torch.zeros(1, 3, 8, 8))
    return ig.quantize(graph, x, target="tflite-int8", calibrator="max")


def test_a_network_keeps_names_and_layout(quantized: ig.Quantized, tmp_path: Path, rng: np.random.Generator) -> None:
    quantized.export(tmp_path / "m.tflite")
    content, program = (tmp_path / "m.tflite").read_bytes(), quantized.lower()
    for _ in range(4):
        assert not differences(content, program, random_codes(program, rng))
    interpreter = interpreter_of(content)
    signature = interpreter.get_signature_list()["serving_default"]
    assert tuple(signature["inputs"]) == program.inputs
    assert tuple(signature["outputs"]) == program.outputs
    row = interpreter.get_input_details()[0]
    assert tuple(row["shape"]) == (1, 3, 8, 8)
    params = program.tensors[program.inputs[0]].params
    assert params is not None
    assert row["quantization"] == (float(params.scale), int(params.zero_point))
    kinds = [row["op_name"] for row in interpreter._get_ops_details()]
    assert kinds.index("TRANSPOSE") == 0, "channels-first only at the network's input"
    assert kinds.count("TRANSPOSE") == 1
    assert b'"layouts": {"' + program.inputs[0].encode() + b'": "NCHW"' in content


def test_our_own_reader_gives_the_same_integers(quantized: ig.Quantized, tmp_path: Path) -> None:
    quantized.export(tmp_path / "m.tflite")
    program, again = quantized.lower(), ig.load_quantized(tmp_path / "m.tflite").lower()
    assert (again.inputs, again.outputs) == (program.inputs, program.outputs)
    for seed in range(4):
        codes = random_codes(program, np.random.default_rng(seed))
        np.testing.assert_array_equal(program.run_int(codes), again.run_int(codes))


def test_ends_may_be_float_or_uint8(quantized: ig.Quantized, rng: np.random.Generator) -> None:
    program = quantized.lower(input_types="uint8", output_types="uint8")
    assert not differences(tflite_content(program), program, random_codes(program, rng))
    real = quantized.lower(input_types="float32", output_types="float32")
    interpreter = interpreter_of(tflite_content(real))
    x = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    ends = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert [row["dtype"] for row in ends] == [np.float32, np.float32]
    assert [row["name"] for row in ends] == [*real.inputs, *real.outputs]
    interpreter.set_tensor(ends[0]["index"], x)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(ends[1]["index"]), real.run(x))


def test_other_rounding_rules_are_refused(tmp_path: Path) -> None:
    x = np.ones((4, 3, 8, 8), np.float32)
    other = ig.quantize(ig.load(image_net(), torch.zeros(1, 3, 8, 8)), x, target="mcu-int8", calibrator="max")
    with pytest.raises(ExportError, match=r"rounding rule tflite, got half_up \(target mcu-int8\); quantize for"):
        other.export(tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_all_refused_operators_are_listed_and_nothing_is_written(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.LayerNorm(4)).eval()
    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    quantized = ig.quantize(ig.load(net, torch.zeros(1, 4)), x, target="tflite-int8", calibrator="max")
    with pytest.raises(ExportError) as error:
        quantized.export(tmp_path / "m.tflite")
    lines = str(error.value).splitlines()
    assert [line[: line.index("]") + 1] for line in lines[1:]] == ["  - [layer_norm '1']", "  - [layer_norm '3']"]
    assert "TFLite has no integer kernel for it" in lines[1]
    assert not list(tmp_path.iterdir())


def test_both_packages_of_the_schema_give_the_same_file(
    quantized: ig.Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    tflite = pytest.importorskip("tflite", reason="needs the package tflite (extra `tflite`)")
    import ai_edge_litert.schema_py_generated as other

    contents = []
    for schema in (tflite, other):
        monkeypatch.setattr("intaglio.export.tflite.flat_tables.schema", lambda found=schema: found)
        contents.append(tflite_content(quantized.lower()))
    assert contents[0] == contents[1]


MLPERF_TINY = {
    "pretrainedResnet.tflite": 255.0,
    "kws_ref_model_float32.tflite": 1.0,
    "ad01_fp32.tflite": 1.0,
    "vww_96_float.tflite": 1.0,
}


@pytest.mark.parametrize("name", MLPERF_TINY)
def test_mlperf_tiny_networks(name: str, shared_data: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    """Random calibration data; equalization is left out, as it takes most of the time and changes no operator."""
    graph = ig.load(shared_data / "mlperf-tiny" / name)
    size = [1 if not isinstance(n, int) else n for n in graph.inputs[0].shape]
    x = rng.uniform(0, MLPERF_TINY[name], (8, *size[1:])).astype(np.float32)
    quantized = ig.quantize(graph, x, target="tflite-int8", calibrator="max", equalize=False)
    quantized.export(tmp_path / "m.tflite")
    program, content = quantized.lower(), (tmp_path / "m.tflite").read_bytes()
    assert not differences(content, program, random_codes(program, rng))
    again = ig.load_quantized(tmp_path / "m.tflite").lower()
    codes = random_codes(program, rng)
    np.testing.assert_array_equal(program.run_int(codes), again.run_int(codes))


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = next(case for case in CASES if case.name == "Conv-3x3")
    onnx.save(model(case.nodes, case.inputs, case.constants), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4, *case.inputs["x0"][1:])).astype(np.float32))
    words = ["quantize", str(tmp_path / "net.onnx"), "--data", str(tmp_path / "x.npy"), "-o", str(tmp_path / "out")]
    assert main([*words, "--write", "tflite"]) == 1
    assert "TFLite: expected a program with the rounding rule tflite, got half_up" in capsys.readouterr().err
    assert main([*words, "--write", "tosa"]) == 1
    assert "write: expected one of tflite, got 'tosa'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--write", "tflite", "--target", "tflite-int8"]) == 0
    written = (tmp_path / "out" / "model.tflite").read_bytes()
    assert written == tflite_content(ig.load_program(tmp_path / "out" / "model.intaglio"))
    assert main([*words, "--target", "tflite-int8"]) == 0, "model.tflite of an earlier run is no other file"


def test_metadata_says_target_and_rule(quantized: ig.Quantized) -> None:
    content = tflite_content(quantized.lower())
    begin = content.index(b'{"target"')
    notes = json.loads(content[begin : content.index(b"\0", begin)])
    assert (notes["target"], notes["rule"]) == ("tflite-int8", "tflite")
