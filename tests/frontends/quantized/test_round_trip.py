"""Our own QDQ files come back: the same parameters, the same integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from intaglio_tests.operator_nets import lowered, model
from intaglio_tests.qdq_net import Net, calibrated, small_net

from intaglio.export import export_qdq
from intaglio.frontends.onnx import load_onnx
from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.graph import Graph
from intaglio.lower import lower
from intaglio.number import (
    Granularity,
    IntType,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantParams,
    Scheme,
    choose_params,
)
from intaglio.plan import Format, Plan, Source
from intaglio.targets import BUILTIN


def transformer_block() -> Net:
    """Layer normalization, a product of two computed values, GELU, softmax, a residual sum."""
    net = Net(opset=20)
    x = net.op("LayerNormalization", "x", net.normal(12) + 1, net.normal(12), out="norm")
    q, k = (net.op("MatMul", x, net.normal(12, 12), out=name) for name in ("q", "k"))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1]), out="scores")
    mixed = net.op("MatMul", net.op("Softmax", scores, out="attention", axis=-1), x, out="mixed")
    x = net.op("Add", "x", net.op("Gelu", mixed, out="gelu"), out="sum")
    net.op("ReduceMean", x, np.array([1]), out="y", keepdims=0)
    return net


@pytest.mark.parametrize("target", BUILTIN)
@pytest.mark.parametrize("which", ["convolutions", "transformer"])
def test_round_trip(which: str, target: str, tmp_path: Path) -> None:
    model = small_net() if which == "convolutions" else transformer_block().model((1, 6, 12), "y")
    graph, plan, x = calibrated(model, target)
    export_qdq(graph, plan, tmp_path / "m.onnx")
    again, read, _ = load_quantized_graph(tmp_path / "m.onnx")
    assert set(read.values) == set(plan.values)
    for name in plan.values:
        assert read.params(name) == plan.params(name), name
        assert (read[name].source is Source.FUSED) == (plan[name].source is Source.FUSED)
    assert [(n.name, n.op_type) for n in again.nodes] == [(n.name, n.op_type) for n in graph.nodes]
    read.rule, read.accumulator = plan.rule, plan.accumulator
    np.testing.assert_array_equal(lower(again, read).run(x), lower(graph, plan).run(x))


def with_params(plan: Plan, name: str, params: QuantParams) -> Plan:
    result = plan.copy()
    found = Format(params.type, Scheme.SYMMETRIC, params.granularity)
    result.values[name] = replace(plan[name], params=params, format=found)
    return result


def conv() -> tuple[Graph, Plan, np.ndarray, str]:
    net = Net()
    net.op("Conv", net.op("Conv", "x", net.normal(4, 4, 1, 1), out="a"), net.normal(4, 4, 3, 3), net.normal(4), out="y")
    graph, plan, x = calibrated(net.model(("N", 4, 6, 6), "y"), "cpu-int8")
    return graph, plan, x, str(graph.node("n_y").inputs[1].name)


def again(graph: Graph, plan: Plan, folder: Path) -> Plan:
    export_qdq(graph, plan, folder / "m.onnx")
    return load_quantized_graph(folder / "m.onnx")[1]


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerGroup(1, 2), PerGroup(1, 3)], ids=str)
@pytest.mark.parametrize("kind", [IntType(4, narrow=True), IntType(8, narrow=True), IntType(16, narrow=True)], ids=str)
def test_weights_of_every_width_and_granularity(kind: IntType, granularity: Granularity, tmp_path: Path) -> None:
    graph, plan, _, name = conv()
    array = graph.value(name).const_value.numpy()  # type: ignore[union-attr]
    blocks = granularity.blocks(array)
    params = choose_params(blocks.min(-1), blocks.max(-1), kind, Scheme.SYMMETRIC, granularity)
    assert again(graph, with_params(plan, name, params), tmp_path).params(name) == params


@pytest.mark.parametrize(
    "kind",
    [IntType(b, signed=s) for b in (2, 4, 6, 8, 16) for s in (True, False)] + [IntType(8, narrow=True)],
    ids=str,
)
def test_activations_of_every_width(kind: IntType, tmp_path: Path) -> None:
    graph, plan, *_ = conv()
    params = choose_params(-1.5, 2.0, kind, Scheme.ASYMMETRIC)
    changed = with_params(plan, "a", params)
    assert again(graph, changed, tmp_path).params("a") == params


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT16", "INT32", "INT64"])
def test_integers_that_are_compared_come_back(kind: str, tmp_path: Path) -> None:
    node = onnx.helper.make_node("GreaterOrEqual", ["a", "b"], ["y"], "node")
    kinds = {"a": getattr(onnx.TensorProto, kind), "b": getattr(onnx.TensorProto, kind), "y": onnx.TensorProto.BOOL}
    a, b, y = (onnx.helper.make_tensor_value_info(name, kind, ("n", 4)) for name, kind in kinds.items())
    net = onnx.helper.make_model(
        onnx.helper.make_graph([node], "net", [a, b], [y]), opset_imports=[onnx.helper.make_opsetid("", 13)]
    )
    onnx.save(net, tmp_path / "m.onnx")
    graph, plan, history = load_quantized_graph(tmp_path / "m.onnx")
    assert "the file holds only integers and booleans" in history
    left, right = np.array([[1, 2, 3, 100]]), np.array([[2, 2, 1, 101]])
    np.testing.assert_array_equal(lower(graph, plan).run(left, right), left >= right)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_operator_comes_back(case: Case, tmp_path: Path) -> None:
    graph = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
    made = lowered(graph, "cpu-int8", inputs_of(case, graph, 3))
    export_qdq(graph, made.plan, tmp_path / "m.onnx")
    read, plan, _ = load_quantized_graph(tmp_path / "m.onnx")
    plan.rule, plan.accumulator = made.plan.rule, made.plan.accumulator
    ours, theirs = made.program.run(*made.x.values()), lower(read, plan).run(*made.x.values())
    if not isinstance(ours, tuple):
        ours, theirs = (ours,), (theirs,)
    for value, a, b in zip(graph.outputs, ours, theirs, strict=True):
        params = made.plan.params(str(value.name))
        # A dilated pool is written as a convolution, whose factor rounds otherwise where two codes are as near.
        step = 0.0 if params is None or case.name != "AveragePool-dilated" else float(params.scale)
        np.testing.assert_allclose(b, a, rtol=0, atol=1.001 * step)
