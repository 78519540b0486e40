"""Placement on small networks: what shares, what is fused, what is fixed, and that every value says why."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from intaglio_tests.operator_cases import CASES
from intaglio_tests.operator_nets import model
from onnx import helper
from torch import nn

import intaglio as ig
from intaglio.errors import PlanError, TargetError, UnsupportedOperatorError
from intaglio.frontends.onnx import load_onnx
from intaglio.number import INT8_NARROW, INT16, UINT8, PerChannel, QuantParams, Rule
from intaglio.ops import FLOAT_OPERATORS, Role
from intaglio.plan import Plan, Source, place
from intaglio.targets import BUILTIN, TensorFormat, load_target
from intaglio.targets.target import OperatorRow


class Block(nn.Module):
    """conv - relu - pool, a residual add, a concat, softmax: one of each rule."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 4, 1)
        self.right = nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.first(x)), 2)
        x = torch.relu(x + self.second(x))
        x = torch.cat([torch.relu(self.left(x)), self.right(x)], dim=1)
        return torch.softmax(self.head(x.mean((2, 3))), dim=1)


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    return ig.load(Block().eval(), (torch.zeros(1, 3, 8, 8),))


def by_type(graph, op_type):
    return [node for node in graph.nodes if node.op_type == op_type]


def plan_of(plan, node) -> ig.Plan:
    return plan[node.outputs[0].name]


def test_every_value_and_operator_has_a_reason(graph):
    plan = place(graph, load_target("cpu-int8"))
    assert all(value.why for value in plan.values.values())
    assert {node.name for node in graph.nodes} == set(plan.operators)
    for node in graph.nodes:
        assert node.outputs[0].name in plan.values


def test_no_quantizer_between_an_operator_and_its_fused_activation(graph):
    plan = place(graph, load_target("cpu-int8"))
    relu = by_type(graph, "Relu")[0]
    conv = relu.inputs[0].producer()
    assert plan_of(plan, conv).source is Source.FUSED
    assert plan_of(plan, conv).of == (relu.outputs[0].name,)
    assert plan.operators[conv.name].fused == (relu.name,)
    assert plan_of(plan, relu).source is Source.OWN


def test_an_activation_read_by_two_is_not_fused():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            y = self.conv(x)
            return torch.relu(y) + y

    graph = ig.load(Fork().eval(), (torch.zeros(1, 3, 4, 4),))
    plan = place(graph, load_target("cpu-int8"))
    assert plan_of(plan, by_type(graph, "Conv")[0]).source is Source.OWN


def test_pools_and_moves_share_what_they_move(graph):
    plan = place(graph, load_target("cpu-int8"))
    pool = by_type(graph, "MaxPool")[0]
    assert plan_of(plan, pool).source is Source.SHARED
    assert plan_of(plan, pool).of == (pool.inputs[0].name,)
    mean = by_type(graph, "GlobalAveragePool")
    assert [plan_of(plan, node).source for node in mean] == [Source.OWN] * len(mean)


def test_what_only_a_concat_reads_is_written_on_its_grid(graph):
    plan = place(graph, load_target("cpu-int8"))
    concat = by_type(graph, "Concat")[0]
    for value in concat.inputs:
        assert plan[value.name].source is Source.SHARED
        assert plan.root(value.name) is plan_of(plan, concat)
    assert plan_of(plan, concat).source is Source.OWN


def test_softmax_is_fixed_by_mathematics_or_by_the_target(graph):
    softmax = by_type(graph, "Softmax")[0]
    asked = {softmax.name: "a8"}
    for name, zero_point in (("cpu-int8", 0), ("mcu-int8", -128), ("tflite-int8", -128)):
        params = plan_of(place(graph, load_target(name), layers=asked), softmax).params
        assert float(params.scale) == 1 / 256
        assert int(params.zero_point) == zero_point
    params = plan_of(place(graph, load_target("int8-symmetric"), layers=asked), softmax).params
    assert float(params.scale) == 1 / 128


def test_probabilities_that_the_network_returns_have_small_steps(graph):
    softmax = by_type(graph, "Softmax")[0]
    params = plan_of(place(graph, load_target("cpu-int8")), softmax).params
    assert (params.type, float(params.scale), int(params.zero_point)) == (INT16, 1 / 32768, 0)
    params = plan_of(place(graph, load_target("tflite-int8")), softmax).params
    assert float(params.scale) == 1 / 256  # TFLite's specification fixes it


def test_weights_biases_and_their_formats(graph):
    plan = place(graph, load_target("cpu-int8"))
    conv = by_type(graph, "Conv")[0]
    weight, bias = (plan[conv.inputs[i].name] for i in (1, 2))
    assert (weight.role, weight.format.type, weight.format.granularity) == (Role.WEIGHT, INT8_NARROW, PerChannel(0))
    assert (bias.role, bias.source, bias.of) == (
        Role.BIAS,
        Source.DERIVED,
        (conv.inputs[0].name, conv.inputs[1].name),
    )


def test_first_and_last_layer_and_patterns_get_another_format(graph):
    convs, gemm = by_type(graph, "Conv"), by_type(graph, "Gemm")[0]
    plan = place(graph, load_target("cpu-int8"), layers={"first": "a16", "last": "w8a16", convs[1].name: "a16"})
    assert plan[graph.inputs[0].name].format.type == INT16
    assert plan[convs[0].outputs[0].name].source is Source.FUSED
    relu = convs[0].outputs[0].uses()[0].node
    assert plan_of(plan, relu).format.type == INT16
    assert plan_of(plan, gemm).format.type == INT16
    assert plan_of(plan, convs[1]).format.type == INT16
    assert plan_of(plan, convs[2]).source is Source.FUSED
    assert plan_of(plan, convs[3]).format.type == UINT8


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ({"first": "w4"}, "has int8n, got a request for 4 bits"),
        ({"last": "a4"}, "has uint8, int16, got a request for 4 bits"),
        ({"nowhere*": "a16"}, "'nowhere\\*': expected first, last or a pattern"),
        ({"first": "16 bits"}, "expected a format such as w8a16"),
    ],
)
def test_a_format_that_the_target_has_not_is_refused(graph, layers, text):
    with pytest.raises(TargetError, match=text):
        place(graph, load_target("cpu-int8"), layers=layers)


def test_every_unsupported_operator_is_named(graph):
    broken = graph.copy()
    for node in broken.nodes:
        if node.op_type == "Conv":
            node.op_type = "Convolve"
    with pytest.raises(UnsupportedOperatorError) as error:
        place(broken, load_target("cpu-int8"))
    for node in by_type(graph, "Conv"):
        assert f"[Convolve {node.name!r}]" in str(error.value)


def test_the_plan_survives_json(graph):
    plan = place(graph, load_target("int16x8"))
    weight = next(v for v in plan.values.values() if v.role is Role.WEIGHT)
    scale = np.random.default_rng(0).uniform(1e-6, 1, 8).astype(np.float32)
    weight.params = QuantParams(INT8_NARROW, scale, granularity=PerChannel(0))
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.rule is Rule.HALF_UP


@pytest.mark.parametrize("text", ["", "[]", '{"format": "intaglio-plan"}', '{"format": "else", "version": 1}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(PlanError, match="plan:"):
        Plan.from_json(text)


def test_a_plan_for_another_graph_says_so(graph):
    plan, layer = place(graph, load_target("cpu-int8")), graph.nodes[0]
    with pytest.raises(PlanError, match="made for another Graph$"):
        plan["no such value"]
    weight = str(layer.inputs[1].name)
    with pytest.raises(PlanError, match=f"made for another Graph, or the name is another: {weight}"):
        plan[f"{weight[:-1]}!"]
    plan.values["deep.equalized"] = plan.values[weight]
    with pytest.raises(PlanError, match=r"or the name is another: deep\.equalized$"):
        plan["deep"]
    plan.operators[f"layer of {weight}"] = plan.operators[str(layer.name)]
    with pytest.raises(PlanError, match=r"; a layer of this name is in plan\.operators$"):
        plan[f"layer of {weight}"]


@pytest.mark.parametrize(
    "target", ["cpu-int8", "int8-symmetric", "power2-int8", "int16x8", "uint8-asymmetric", "tflite-int8"]
)
def test_log_probabilities_keep_what_calibration_saw(target):
    """A target that fixes their grid says what it cuts off; all others hold the lowest that was seen."""
    net = nn.Sequential(nn.Identity(), nn.LogSoftmax(-1), nn.Linear(3, 2)).eval()
    x = np.array([[0, 30, -60], [1, 2, 3], [0, 100, 0]], np.float32)
    q = ig.quantize(ig.load(net, torch.zeros(1, 3)), x, target, calibrator="max", equalize=False, bias_correction=False)
    value = plan_of(q.plan, by_type(q.graph, "LogSoftmax")[0])
    low, high = (float(bound) for bound in value.params.range)
    warnings = [text for text in q.history if text.startswith("warning: value")]
    if target == "tflite-int8":
        assert value.source is Source.FIXED and (low, high) == (-15.9375, 0.0)
        assert "calibration saw -100 to 0, and what is beyond [-15.9375, 0] saturates" in value.why
        assert warnings == [f"warning: value {value.name!r}: {value.why}"]
    else:
        assert value.source is Source.OWN and low <= -100 + float(value.params.scale) and not warnings


def test_a_target_fixes_the_output_of_any_operator():
    """Also of those whose range nothing but data would tell."""
    target = load_target("cpu-int8").model_copy(deep=True)
    target.operators["Exp"] = OperatorRow(scale=0.5, zero_point=3)
    q = ig.quantize(ig.load(Exponential(), torch.zeros(1, 3)), np.full((2, 3), 5, np.float32), target)
    value = plan_of(q.plan, by_type(q.graph, "Exp")[0])
    assert value.params == QuantParams(UINT8, 0.5, 3)
    assert "calibration saw 148.413 to 148.413, and what is beyond [-1.5, 126] saturates" in value.why


class Exponential(nn.Module):
    def forward(self, x):
        return torch.exp(x)


@pytest.mark.parametrize(
    ("op_type", "row", "text"),
    [
        (
            "Cnov",
            {"supported": False},
            "operators.Cnov: expected the name of an ONNX operator, got 'Cnov'; did you mean",
        ),
        (
            "Relu",
            {"weights": "weights"},
            "operators.Relu.weights: expected none, as only Conv, ConvTranspose, Gemm, MatMul",
        ),
        (
            "MaxPool",
            {"scale": 0.1, "zero_point": 0},
            "operators.MaxPool.scale: MaxPool keeps the parameters of its input",
        ),
        ("Reshape", {"activations": "activations"}, "operators.Reshape.activations: Reshape keeps the parameters"),
        ("ArgMax", {"activations": "activations"}, "operators.ArgMax.activations: ArgMax keeps the parameters"),
    ],
)
def test_a_target_row_without_effect_is_refused(graph, op_type, row, text):
    target = load_target("cpu-int8")
    made = OperatorRow(
        **{key: getattr(target, value) if isinstance(value, str) else value for key, value in row.items()}
    )
    with pytest.raises(TargetError, match=text):
        place(graph, target.model_copy(update={"operators": {op_type: made}}))


@pytest.mark.parametrize(
    "op_type", sorted({node.op_type for case in CASES for node in case.nodes} & set(FLOAT_OPERATORS))
)
def test_a_fixed_output_of_every_operator_is_taken_or_refused(op_type):
    target = load_target("cpu-int8")
    target = target.model_copy(update={"operators": {op_type: OperatorRow(scale=0.125, zero_point=7)}, "final": None})
    for case in CASES:
        if op_type not in {node.op_type for node in case.nodes}:
            continue
        graph = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
        try:
            plan = place(graph, target)
        except TargetError:
            return
        except UnsupportedOperatorError:
            continue
        params = [plan[node.outputs[0].name].params for node in by_type(graph, op_type)]
        if all(p is not None and p.scale == 0.125 and p.zero_point == 7 for p in params):
            return
    raise AssertionError(f"{op_type}: the row has no effect in any case, and is not refused")


class PooledThenClamped(nn.Module):
    """A product and a pool, each with a fused clamp."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        pooled = torch.nn.functional.avg_pool2d(torch.relu(self.conv(x)), 2)
        return self.head(torch.clamp(pooled, 0.125, 0.5).mean((2, 3)))


@pytest.fixture(scope="module")
def clamped():
    torch.manual_seed(1)
    return ig.load(PooledThenClamped().eval(), torch.zeros(1, 2, 8, 8))


def formats(*types: str) -> dict[str, object]:
    return {"activations": tuple(TensorFormat(type=kind, scheme="symmetric") for kind in types)}


FIXED = {"scale": 0.125, "zero_point": 7}
SAME = {"output": "same"}


@pytest.mark.parametrize(
    ("conv", "relu", "together"),
    [
        (formats("int16"), {}, ["int16"]),
        ({}, formats("int16"), ["int16"]),
        (formats("int8", "int16"), formats("int16", "int8n"), ["int16"]),
        (formats("int16"), formats("int8n"), ["int16", "int8n"]),
        (FIXED, {}, [0.125]),
        ({}, FIXED, [0.125]),
        (FIXED, formats("int8n"), [0.125, "int8n"]),
        (FIXED, FIXED, [0.125, 0.125]),
        ({}, SAME, ["uint8"]),
    ],
)
def test_rows_of_a_product_and_of_its_fused_clamp_both_hold(clamped, conv, relu, together):
    target = load_target("cpu-int8")
    rows = {"Conv": OperatorRow(**conv), "Relu": OperatorRow(**relu)}
    target = target.model_copy(update={"operators": rows, "final": None})
    x = np.random.default_rng(0).normal(size=(16, 2, 8, 8)).astype(np.float32)
    q = ig.quantize(clamped, x, target, equalize=False)
    first, after = by_type(q.graph, "Conv")[0], by_type(q.graph, "Relu")[0]
    assert after.inputs[0].producer() is first
    results = plan_of(q.plan, first), plan_of(q.plan, after)
    written = [value for value in results if value.source not in (Source.FUSED, Source.SHARED)]
    assert relu != SAME or q.plan.root(results[1].name) is results[0]
    assert len(written) == len(together)
    for value, wanted in zip(written, together, strict=True):
        params = q.plan.params(value.name)
        assert wanted in (str(params.type), float(params.scale))
    want, got = q.simulate(x), q.lower().run(x)
    assert np.abs(want - got).max() <= 2 * float(q.plan.params(q.graph.outputs[0].name).scale)


def test_a_pool_that_keeps_its_input_s_grid_keeps_it_with_a_fused_clamp(clamped):
    target = load_target("tflite-int8")
    x = np.random.default_rng(0).normal(size=(16, 2, 8, 8)).astype(np.float32)
    q = ig.quantize(clamped, x, target)
    pools = by_type(q.graph, "AveragePool")
    fused = [pool for pool in pools if plan_of(q.plan, pool).source is Source.FUSED]
    assert fused
    for pool in fused:
        (after,) = [use.node for use in pool.outputs[0].uses()]
        assert q.plan.params(after.outputs[0].name) == q.plan.params(pool.inputs[0].name)
    # Pool and mean may round one step apart each, and the last layer adds these differences up.
    step = [float(q.plan.params(name).scale) for name in (fused[0].inputs[0].name, q.graph.outputs[0].name)]
    reach = np.abs(by_type(q.graph, "Gemm")[0].inputs[1].const_value.numpy()).sum(axis=1).max()
    assert np.abs(q.simulate(x) - q.lower().run(x)).max() <= 2 * step[0] * reach + step[1]


@pytest.mark.parametrize("name", BUILTIN)
def test_rows_of_built_in_targets_hold_with_a_clamp_behind_the_operator(name):
    """For every row that says something of a result, on every case of its operator, followed by a clamp."""
    target, checked = load_target(name), 0
    target = target.model_copy(update={"final": None, "products": None, "layers": {}})
    for op_type, row in target.operators.items():
        if row.activations is None and row.scale is None and row.output == "own":
            continue
        for case in (c for c in CASES if len(c.nodes) == 1 and c.nodes[0].op_type == op_type and len(c.outputs) == 1):
            (made,) = case.nodes[0].output
            clamp = helper.make_node("Clip", [made, "low", "high"], ["clamped"])
            bounds = {"low": np.float32(-0.25), "high": np.float32(0.25)}
            graph = load_onnx(model([*case.nodes, clamp], case.inputs, {**case.constants, **bounds}, ["clamped"]))
            try:
                plan = place(graph, target)
            except UnsupportedOperatorError:
                continue
            (node,) = by_type(graph, op_type)
            value = next(v for v in (plan_of(plan, node), plan["clamped"]) if v.source is not Source.FUSED)
            if row.scale is not None:
                assert (float(value.params.scale), int(value.params.zero_point)) == (row.scale, row.zero_point)
            elif row.output == "same":
                assert plan.root(value.name).name == plan.root(node.inputs[0].name).name
            else:
                assert value.format.type == row.activations[0].type
            checked += 1
    told = [r for r in target.operators.values() if r.activations or r.scale is not None or r.output == "same"]
    assert checked >= len(told)
