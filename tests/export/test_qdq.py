"""QDQ files: ONNX Runtime computes from them what the integer program computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.qdq_net import Net, calibrated, optimized_operators, run_ort, small_net

from intaglio.errors import ExportError
from intaglio.export import export_qdq
from intaglio.lower import lower
from intaglio.number import INT8, INT16, IntType, PerElement, PerGroup, QuantParams, Scheme, choose_params
from intaglio.plan import Format, Plan, Source
from intaglio.targets import BUILTIN


def in_steps(plan: Plan, name: str, x: np.ndarray) -> np.ndarray:
    params = plan.params(name)
    assert params is not None
    return x.astype(np.float64) / float(params.scale)


def written(graph: Any, plan: Plan, folder: Path) -> tuple[Path, onnx.ModelProto]:
    path = folder / "model.qdq.onnx"
    export_qdq(graph, plan, path)
    return path, onnx.load(path)


def replaced(plan: Plan, name: str, params: QuantParams) -> Plan:
    result = plan.copy()
    result.values[name] = replace(
        plan[name], params=params, format=Format(params.type, Scheme.ASYMMETRIC, params.granularity)
    )
    return result


@pytest.mark.parametrize("target", BUILTIN)
def test_onnx_runtime_equals_the_program(target: str, tmp_path: Path) -> None:
    # Between input and output lie 8 requantizations, each of which may fall to the other side of a tie. Between powers
    # of two, ties are many, and ONNX rounds them to even where the rule `shift` rounds them up.
    graph, plan, x = calibrated(small_net(), target)
    path, _ = written(graph, plan, tmp_path)
    ours, theirs = lower(graph, plan).run(x), run_ort(path, x)
    steps = np.abs(ours - theirs) / (theirs.max() - theirs.min()) * 255
    shift = target == "power2-int8"
    assert steps.max() <= (16 if shift else 4)
    assert steps.mean() <= (4 if shift else 0.6)
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= (0.9 if shift else 0.95)


@pytest.mark.parametrize("target", ["cpu-int8", "int8-symmetric", "uint8-asymmetric", "mcu-int8"])
@pytest.mark.parametrize("kind", ["Conv", "Gemm", "Add", "Mul", "MaxPool", "AveragePool", "Concat", "LeakyRelu"])
def test_one_operator_differs_by_one_step_at_most(kind: str, target: str, tmp_path: Path) -> None:
    net = Net()
    if kind == "Gemm":
        net.op("Gemm", "x", net.normal(12, 5), net.normal(5), out="y")
    else:
        first = net.op("Relu", "x") if kind in ("Add", "Mul", "Concat") else "x"
        inputs: list[Any] = {"Conv": [net.normal(4, 3, 3, 3), net.normal(4)], "LeakyRelu": []}.get(kind, [])
        second = ["x"] if kind in ("Add", "Mul", "Concat") else []
        attributes: dict[str, Any] = {
            "MaxPool": {"kernel_shape": [2, 2]},
            "AveragePool": {"kernel_shape": [3, 3]},
            "Concat": {"axis": 1},
        }.get(kind, {})
        net.op(kind, first, *second, *inputs, out="y", **attributes)
    shape = (1, 12) if kind == "Gemm" else (1, 3, 6, 6)
    graph, plan, x = calibrated(net.model(shape, "y"), target)
    path, _ = written(graph, plan, tmp_path)
    difference = np.abs(in_steps(plan, "y", lower(graph, plan).run(x)) - in_steps(plan, "y", run_ort(path, x)))
    assert difference.max() < 1.001


def test_onnx_runtime_runs_the_products_on_integers(tmp_path: Path) -> None:
    graph, plan, _ = calibrated(small_net(), "cpu-int8")
    path, _ = written(graph, plan, tmp_path)
    found = optimized_operators(path, tmp_path)
    assert found["QLinearConv"] == 3
    assert found["QGemm"] == 1
    assert found["QLinearAdd"] == 1
    assert not {"Conv", "FusedConv", "Gemm", "Relu", "Clip"} & set(found)


def test_names_batch_and_opset(tmp_path: Path) -> None:
    graph, plan, _ = calibrated(small_net(), "cpu-int8")
    _, model = written(graph, plan, tmp_path)
    assert [v.name for v in model.graph.input] == ["x"]
    assert [v.name for v in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    made = {name for node in model.graph.node for name in node.output}
    assert {v.name for v in graph.values().values() if not v.is_initializer()} - {"x"} <= made
    assert {node.name for node in graph.nodes} <= {node.name for node in model.graph.node}
    weight = str(graph.node("n_stem").inputs[1].name)  # type: ignore[union-attr]
    assert weight in made
    codes = {i.name: i for i in model.graph.initializer}[f"{weight}_quantized"]
    assert codes.data_type == onnx.TensorProto.INT8


def test_pairs_stand_where_the_plan_has_parameters(tmp_path: Path) -> None:
    graph, plan, _ = calibrated(small_net(), "cpu-int8")
    _, model = written(graph, plan, tmp_path)
    # The scores have 16 bits, which no opset before 21 knows: nothing else needs that, so they stay real in the file.
    assert plan.params("logits").type == INT16  # type: ignore[union-attr]
    assert model.opset_import[0].version == 13
    assert "logits" in next(p.value for p in model.metadata_props if p.key == "intaglio.params")
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
    quantized = {n.input[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
    for value in graph.values().values():
        name = str(value.name)
        if value.is_initializer() or name not in plan.values:
            continue
        source = f"{name}_real" if value.is_graph_output() else name
        params = plan.params(name)
        if plan[name].source is Source.FUSED or name == "logits":
            assert source not in quantized
            continue
        assert params is not None
        assert constants[quantized[source].input[1]] == params.scale
        assert constants[quantized[source].input[2]] == params.zero_point


def test_a_fixed_batch_stays_fixed(tmp_path: Path) -> None:
    net = Net()
    net.op("Relu", net.op("Transpose", "x", perm=[1, 0]), out="y")
    graph, plan, x = calibrated(net.model((3, 4), "y"), "cpu-int8", samples=3)
    assert not graph.batched
    path, model = written(graph, plan, tmp_path)
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [3, 4]
    program = lower(graph, plan)
    # The scores stay real in the file, so nothing cuts what the input's rounding adds beyond their calibrated range.
    bound = float(plan.params("x").scale) / 2 + float(plan.params("y").scale)  # type: ignore[union-attr]
    assert all(np.abs(run_ort(path, sample) - program.run(sample)).max() < bound for sample in x)


@pytest.mark.parametrize(
    ("op_type", "opset", "attributes", "expected"),
    [("Swish", 24, {"alpha": 1.5}, 13), ("Gelu", 20, {}, 20), ("HardSwish", 14, {}, 14), ("Mish", 18, {}, 18)],
)
def test_lowest_opset_that_has_the_operators(
    op_type: str, opset: int, attributes: dict[str, Any], expected: int, tmp_path: Path
) -> None:
    net = Net(opset=opset)
    net.op(op_type, "x", out="y", **attributes)
    graph, plan, x = calibrated(net.model((1, 3, 4, 4), "y"), "cpu-int8")
    path, model = written(graph, plan, tmp_path)
    assert model.opset_import[0].version == expected
    assert np.abs(in_steps(plan, "y", run_ort(path, x)) - in_steps(plan, "y", lower(graph, plan).run(x))).max() < 1.001
    if op_type == "Swish":  # in parts that every runtime has, nothing between them quantized
        assert [n.op_type for n in model.graph.node].count("QuantizeLinear") == 2


def test_a_pool_needs_no_new_opset_for_what_it_does_not_use(tmp_path: Path) -> None:
    net = Net()
    net.op("AveragePool", "x", out="y", kernel_shape=[2, 2])
    graph, plan, _ = calibrated(net.model((1, 3, 4, 4), "y"), "cpu-int8")
    assert written(graph, plan, tmp_path)[1].opset_import[0].version == 13


@pytest.mark.parametrize("kind", [IntType(4), IntType(4, signed=False)])
def test_four_bit_activations_are_onnx_types(kind: IntType, tmp_path: Path) -> None:
    graph, plan, x = calibrated(one_conv(), "mcu-int8")
    plan = replaced(plan, "y", choose_params(-1.0, 1.0, kind, Scheme.ASYMMETRIC))
    path, model = written(graph, plan, tmp_path)
    assert model.opset_import[0].version == 21
    assert not [n for n in model.graph.node if n.op_type == "Clip"]
    assert np.abs(in_steps(plan, "y", run_ort(path, x) - lower(graph, plan).run(x))).max() < 1.001


@pytest.mark.parametrize(
    "kind", [IntType(6), IntType(6, signed=False), IntType(3), IntType(8, narrow=True), IntType(4, narrow=True)]
)
def test_other_widths_saturate_where_they_should(kind: IntType, tmp_path: Path) -> None:
    graph, plan, x = calibrated(one_conv(), "mcu-int8")
    plan = replaced(plan, "y", choose_params(-0.5, 0.5, kind, Scheme.ASYMMETRIC))
    path, model = written(graph, plan, tmp_path)
    assert [n.op_type for n in model.graph.node].count("Clip") == 1
    y, ours = run_ort(path, x), lower(graph, plan).run(x)
    assert np.abs(in_steps(plan, "y", y - ours)).max() < 1.001
    assert y.min() == ours.min()
    assert y.max() == ours.max()


def test_widths_that_nobody_can_clamp_are_refused_by_name(tmp_path: Path) -> None:
    graph, plan, _ = calibrated(one_conv(), "mcu-int8")
    plan = replaced(plan, "y", choose_params(-1.0, 1.0, IntType(12), Scheme.SYMMETRIC))
    with pytest.raises(ExportError, match=r"\[value 'y'\] expected activations of 1 to 8 bits, .* got int12"):
        written(graph, plan, tmp_path)


def one_conv() -> onnx.ModelProto:
    net = Net()
    net.op("Conv", "x", net.normal(4, 4, 3, 3), net.normal(4), out="y")
    return net.model((1, 4, 6, 6), "y")


@pytest.mark.parametrize("size", [2, 3, 4])
def test_weights_per_group_are_blocks(size: int, tmp_path: Path) -> None:
    graph, plan, x = calibrated(one_conv(), "cpu-int8")
    name = str(graph.node("n_y").inputs[1].name)  # type: ignore[union-attr]
    array = graph.value(name).const_value.numpy()  # type: ignore[union-attr]
    granularity = PerGroup(1, size)
    blocks = granularity.blocks(array)
    params = choose_params(blocks.min(-1), blocks.max(-1), IntType(4, narrow=True), Scheme.SYMMETRIC, granularity)
    plan = replaced(plan, name, params)
    path, model = written(graph, plan, tmp_path)
    node = next(n for n in model.graph.node if n.output[0] == name)
    assert {a.name: a.i for a in node.attribute} == {"axis": 1, "block_size": size}
    assert model.opset_import[0].version == 21
    assert_reads_as(model, name, params.fake_quantize(array))
    run_ort(path, x)


def test_weights_per_element_are_blocks_of_one(tmp_path: Path) -> None:
    graph, plan, _ = calibrated(one_conv(), "cpu-int8")
    name = str(graph.node("n_y").inputs[1].name)  # type: ignore[union-attr]
    array = graph.value(name).const_value.numpy()  # type: ignore[union-attr]
    params = QuantParams(INT8, np.full(array.shape, 0.01, np.float32), np.zeros(array.shape, np.int32), PerElement())
    _, model = written(graph, replaced(plan, name, params), tmp_path)
    assert_reads_as(model, name, params.fake_quantize(array))


def assert_reads_as(model: onnx.ModelProto, name: str, expected: np.ndarray) -> None:
    """What ONNX's reference evaluator reads behind a weight's DequantizeLinear."""
    node = next(n for n in model.graph.node if n.output[0] == name)
    end = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    constants = [i for i in model.graph.initializer if i.name in node.input]
    part = onnx.helper.make_graph([node], "weight", [], [end], constants)
    found = onnx.reference.ReferenceEvaluator(onnx.helper.make_model(part, opset_imports=list(model.opset_import))).run(
        None, {}
    )[0]
    np.testing.assert_array_equal(found, expected)


def test_a_tied_network_of_an_elementwise_constant(tmp_path: Path) -> None:
    net = Net()
    net.op("Mul", net.op("Add", "x", net.normal(1, 3, 1, 1)), net.normal(1, 3, 1, 1), out="y")
    graph, plan, x = calibrated(net.model((1, 3, 4, 4), "y"), "cpu-int8")
    path, _ = written(graph, plan, tmp_path)
    assert np.abs(in_steps(plan, "y", run_ort(path, x) - lower(graph, plan).run(x))).max() < 2.001


def test_a_value_that_is_output_and_is_read_on(tmp_path: Path) -> None:
    net = Net()
    middle = net.op("Conv", "x", net.normal(4, 4, 1, 1), out="middle")
    net.op("Sigmoid", middle, out="y")
    graph, plan, x = calibrated(net.model((1, 4, 2, 2), "middle", "y"), "cpu-int8")
    path, model = written(graph, plan, tmp_path)
    assert [v.name for v in model.graph.output] == ["middle", "y"]
    assert np.abs(in_steps(plan, "middle", run_ort(path, x) - lower(graph, plan).run(x)[0])).max() < 1.001


def test_an_index_is_no_quantized_number(tmp_path: Path) -> None:
    net = Net()
    net.op("ArgMax", net.op("Conv", "x", net.normal(4, 4, 1, 1)), out="y", axis=1)
    graph, plan, _ = calibrated(net.model((1, 4, 2, 2), "y"), "cpu-int8")
    model = written(graph, plan, tmp_path)[1]
    assert model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
    assert not any(n.op_type == "QuantizeLinear" and n.input[0].startswith("y") for n in model.graph.node)
