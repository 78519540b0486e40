"""What every way to a Plan says alike: who shares a grid, what is fused, in which order and under which names."""

from __future__ import annotations

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net

import intaglio as ig
from intaglio.number import BIPOLAR, INT8, UINT8, PerTensor, QuantParams, Rule, Scheme
from intaglio.ops import Role
from intaglio.plan import Format, Plan, PlanBuilder, Source
from intaglio.plan.contracts import contracts_of

FORMAT, PARAMS = Format(INT8, Scheme.SYMMETRIC), QuantParams(INT8, np.float32(0.5))
BIT, BIT_PARAMS = Format(BIPOLAR, Scheme.SYMMETRIC), QuantParams(BIPOLAR, np.float32(1.0))


def builder(net):
    graph = ig.load(net.model())
    return graph, PlanBuilder(graph, contracts_of(graph))


def values(graph):
    """Every computed value by name."""
    return {value.name: value for node in graph.nodes for value in node.outputs}


def product(net, x, name="conv"):
    return net.op("Conv", x, net.normal(4, 3, 1, 1), net.normal(4), name=name)


def tails():
    """What may follow a product, and whether it is the product's saturation."""
    yield "clamp", lambda net, y: net.op("Relu", y, name="next"), True
    yield "no clamp", lambda net, y: net.op("Sigmoid", y, name="next"), False
    yield "two readers", lambda net, y: net.op("Add", net.op("Relu", y, name="next"), y, name="sum"), False
    yield "a sign in a byte", lambda net, y: net.op("Sign", y, name="next"), False


@pytest.mark.parametrize(("tail", "fused"), [pytest.param(tail, fused, id=name) for name, tail, fused in tails()])
def test_a_product_is_fused_with_the_clamp_that_alone_reads_it(tail, fused):
    net = Net()
    net.output(tail(net, product(net, net.input("x", (1, 3, 4, 4)))))
    graph, plan = builder(net)
    assert plan.fuse(values(graph)["conv"]) is fused
    assert plan.source(values(graph)["conv"]) is (Source.FUSED if fused else None)


def test_a_sign_in_one_bit_is_a_saturation_and_takes_no_clamp():
    net = Net()
    sign = net.op("Sign", product(net, net.input("x", (1, 3, 4, 4))), name="sign")
    net.output(net.op("Clip", sign, np.float32(-0.5), np.float32(0.5), name="clip"))
    graph, plan = builder(net)
    named = values(graph)
    plan.fixed(named["sign"], "one bit", BIT, BIT_PARAMS)
    assert plan.saturation(named["conv"]) is named["sign"].producer()
    assert plan.saturation(named["sign"]) is None


def test_an_output_is_not_fused():
    net = Net()
    y = product(net, net.input("x", (1, 3, 4, 4)))
    net.output(y)
    net.output(net.op("Relu", y, name="next"))
    graph, plan = builder(net)
    assert not plan.fuse(values(graph)["conv"])


def moved():
    net = Net()
    flat = net.op("Flatten", product(net, net.input("x", (1, 3, 4, 4))), name="flat")
    net.output(net.op("ArgMax", flat, axis=1, name="best"))
    return builder(net)


def test_sharing_goes_through_to_the_root():
    graph, plan = moved()
    x, (conv, flat) = graph.inputs[0], (values(graph)[name] for name in ("conv", "flat"))
    plan.own(conv, "known", FORMAT, PARAMS)
    plan.share(flat, conv, "moved")
    assert plan.kept_input(flat.producer()) is conv and plan.kept_input(conv.producer()) is None
    assert plan.params(flat) == PARAMS and plan[flat].format == FORMAT
    assert plan.leads_to(flat, conv) and not plan.leads_to(conv, flat)
    other = QuantParams(UINT8, np.float32(0.25))
    plan.own(x, "first", FORMAT, PARAMS)
    plan.share(conv, x, "moved on")
    plan.own(x, "anew", Format(UINT8, Scheme.ASYMMETRIC), other)
    assert plan.params(flat) == other
    made = plan.finish("t", Rule.HALF_UP, 32)
    assert made["flat"].format == made["x"].format == Format(UINT8, Scheme.ASYMMETRIC)


def test_indices_stay_indices():
    graph, plan = moved()
    best = values(graph)["best"]
    assert plan.indices(best.producer(), best) and not plan.indices(graph.nodes[0], graph.nodes[0].outputs[0])
    plan.share(graph.inputs[0], best, "moved")
    assert plan[graph.inputs[0]].source is Source.PLAIN


def test_what_is_joined_keeps_its_integers_on_one_grid_only():
    net = Net()
    a, b = net.input("a", (1, 4)), net.input("b", (1, 4))
    net.output(net.op("Concat", a, b, axis=1, name="joined"))
    graph, plan = builder(net)
    node = graph.nodes[0]
    plan.own(graph.inputs[0], "", FORMAT, PARAMS)
    assert plan.kept_input(node) is None
    plan.own(graph.inputs[1], "", FORMAT, QuantParams(INT8, np.float32(0.25)))
    assert plan.kept_input(node) is None
    plan.own(graph.inputs[1], "", FORMAT, PARAMS)
    assert plan.kept_input(node) is graph.inputs[0]


def test_the_plan_has_the_order_of_the_network_and_the_last_names():
    net = Net()
    net.output(net.op("Relu", product(net, net.input("x", (1, 3, 4, 4))), name="y"))
    graph, plan = builder(net)
    conv, y = (values(graph)[name] for name in ("conv", "y"))
    plan.own(y, "", FORMAT, PARAMS)
    assert plan.fuse(conv)
    weights = {role: value for value, role in plan.constants(conv.producer())}
    assert set(weights) == {Role.WEIGHT, Role.BIAS}
    plan.bias(conv.producer(), weights[Role.BIAS], note="; told")
    plan.own(weights[Role.WEIGHT], "", FORMAT, PARAMS, role=Role.WEIGHT)
    plan.own(graph.inputs[0], "", FORMAT, PARAMS)
    y.name = "renamed"
    made = plan.finish("t", Rule.HALF_EVEN, 64)
    w, b = weights[Role.WEIGHT].name, weights[Role.BIAS].name
    assert list(made.values) == ["x", w, b, "conv", "renamed"]
    assert made["conv"].of == ("renamed",) and made[b].of == ("x", w)
    assert made[b].why.endswith("scale_x * scale_w; told") and made[b].source is Source.DERIVED
    assert made.operators[conv.producer().name].fused == (y.producer().name,)
    assert (made.target, made.rule, made.accumulator) == ("t", Rule.HALF_EVEN, 64)
    assert Plan.from_json(made.to_json()) == made
    assert made["x"].format.granularity == PerTensor()


def test_a_plan_that_is_handed_over_is_what_others_refer_to():
    graph, plan = moved()
    conv, flat, best = (values(graph)[name] for name in ("conv", "flat", "best"))
    plan.own(conv, "known", FORMAT, PARAMS)
    plan.share(flat, conv, "moved")
    plan.hand_over(conv, best)
    assert conv not in plan and plan.params(flat) == PARAMS and plan.leads_to(flat, best)
