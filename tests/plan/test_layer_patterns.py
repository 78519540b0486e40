"""Layers are chosen by name, module or pattern; what selects nothing, or has no effect, is refused."""

from __future__ import annotations

import re

import pytest
from intaglio_tests.onnx_net import Net

from intaglio.errors import TargetError
from intaglio.frontends import load_onnx
from intaglio.graph import Graph
from intaglio.number import INT16, UINT8
from intaglio.ops import contract_of
from intaglio.plan import Plan, Source, place
from intaglio.plan.layer_patterns import layers_matching, only_layer
from intaglio.plan.layers import LayerFormats
from intaglio.targets import load_target

NAMES = ("stem", "body.1.conv", "body.1.conv.copy", "body.10", "body.10__2", "side/1/conv", "flat", "head[0]")


@pytest.fixture(scope="module")
def graph() -> Graph:
    net = Net()
    x = net.op("Conv", net.input("x", (1, 4, 6, 6)), net.normal(4, 4, 1, 1), name="stem")
    for name in NAMES[1:6]:
        x = net.op("Conv", x, net.normal(4, 4, 1, 1), name=name)
    x = net.op("Flatten", x, name="flat")
    net.output(net.op("Gemm", x, net.normal(144, 3), name="head[0]"))
    model = net.model()
    for node, name in zip(model.graph.node, NAMES, strict=True):
        node.name = name
        node.output[0] = f"{name}:y"
    for node, before in zip(model.graph.node[1:], NAMES, strict=False):
        node.input[0] = f"{before}:y"
    model.graph.output[0].name = "head[0]:y"
    return load_onnx(model)


def matching(graph: Graph, pattern: str) -> list[str]:
    return layers_matching(pattern, graph.nodes, [name for name in NAMES if name != "flat"])


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("first", ["stem"]),
        ("last", ["head[0]"]),
        ("stem", ["stem"]),
        ("body", ["body.1.conv", "body.1.conv.copy", "body.10", "body.10__2"]),
        ("body.1", ["body.1.conv", "body.1.conv.copy"]),  # a module: body.10 is another one
        ("body.1.conv", ["body.1.conv", "body.1.conv.copy"]),
        ("body.10", ["body.10", "body.10__2"]),  # every call of it
        ("side", ["side/1/conv"]),
        ("body.1*", ["body.1.conv", "body.1.conv.copy", "body.10", "body.10__2"]),
        ("*conv", ["body.1.conv", "side/1/conv"]),
        ("head[[]0]", ["head[0]"]),
        ("body.10:y", ["body.10"]),  # the name of its result
    ],
)
def test_a_pattern_selects_layers(graph: Graph, pattern: str, names: list[str]) -> None:
    assert matching(graph, pattern) == names


def test_only_one_layer_is_selected_where_only_one_is_meant(graph: Graph) -> None:
    for name in NAMES:
        assert matching(graph, only_layer(name, NAMES)) == [name]
    assert only_layer("stem", NAMES) == "stem"
    assert only_layer("first", ["first"]) == "[f]irst"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("body.1.cov", "got none of that name; similar names: body.1.conv, body.1.conv.copy, body.1, body.10"),
        ("bodies.*", "similar names: body"),
        ("zzz", "layers with weights: stem, body.1.conv, body.1.conv.copy, body.10, body.10__2, side/1/conv, head[0];"),
    ],
)
def test_a_pattern_that_selects_nothing_lists_similar_names(graph: Graph, pattern: str, text: str) -> None:
    with pytest.raises(TargetError, match=f"^layer '{re.escape(pattern)}': expected first, last or a pattern") as error:
        matching(graph, pattern)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("target", "layers", "text"),
    [
        ("w4a8", {"flat": "w8"}, "layer 'flat': expected a layer with weights, got [Flatten 'flat'], for which w8"),
        (
            "cpu-int8",
            {"flat": "a16"},
            "'flat': expected a layer with a grid of its own, as data movement has none",
        ),
        ("uint8-asymmetric", {"stem": "widest"}, "no float layers; target uint8-asymmetric has uint8; choose one with"),
        ("cpu-int8", {"flat": "widest"}, "target cpu-int8 has none for data movement; choose one with 16 bits"),
        ("cpu-int8", {"stem": "wide"}, "layer 'stem': expected a format such as w8a16, a16, w4 or widest, got 'wide'"),
    ],
)
def test_what_has_no_effect_is_refused(graph: Graph, target: str, layers: dict[str, str], text: str) -> None:
    with pytest.raises(TargetError) as error:
        place(graph, load_target(target), layers=layers)
    assert text in str(error.value)


def test_widest_gives_the_most_bits_that_the_target_has(graph: Graph) -> None:
    plan = place(graph, load_target("cpu-int8"), layers={"body.1": "widest", "last": "a8"})
    bits = {name: result(plan, name) for name in NAMES}
    assert [name for name, kind in bits.items() if kind == INT16] == ["body.1.conv", "body.1.conv.copy"]
    assert bits["stem"] == bits["head[0]"] == UINT8

    plan = place(graph, load_target("w4a8"), layers={"body.10": "widest"})
    weights = {n.name: plan[str(n.inputs[1].name)].format.type.bits for n in graph.nodes if n.name != "flat"}
    inner = {name: bits for name, bits in weights.items() if name not in ("stem", "head[0]")}  # the target's own: 8
    assert [name for name, bits in inner.items() if bits == 8] == ["body.10", "body.10__2"]


def result(plan: Plan, name: str) -> object:
    value = plan[f"{name}:y"]
    assert value.source is not Source.FUSED
    return None if value.format is None else value.format.type


def test_products_that_read_fewer_bits_have_the_widest_data(graph: Graph) -> None:
    data = load_target("cpu-int8").model_dump()
    narrow = {**data["activations"][0], "type": "uint4"}
    target = load_target("cpu-int8").model_validate({**data, "products": narrow})
    contracts = {node: contract_of(node) for node in graph.nodes}
    formats = LayerFormats(graph, contracts, target, {"body.10": "widest"})
    read = {str(node.name): fmt.type.bits for node in graph.nodes if (fmt := formats.operand_format(node)) is not None}
    assert {name for name, bits in read.items() if bits > 4} == {"body.10", "body.10__2"}
    assert read["body.10"] == 16


@pytest.mark.parametrize("text", ["a16", "widest"])
def test_the_name_of_an_input_means_that_input(graph: Graph, text: str) -> None:
    plan = place(graph, load_target("cpu-int8"), layers={"x": text})
    formats = {name: value.format.type for name, value in plan.values.items() if value.format is not None}
    assert formats["x"] == INT16
    assert formats["stem:y"] == UINT8
    everything = place(graph, load_target("cpu-int8"), layers={"*": "a16"})
    assert everything["x"].format is not None and everything["x"].format.type == UINT8  # a pattern selects layers


@pytest.mark.parametrize(
    ("target", "text", "message"),
    [
        ("cpu-int8", "w8", "input 'x': expected a format such as a16, or widest, got 'w8'"),
        ("cpu-int8", "w8a16", "input 'x': expected a format such as a16"),
        ("cpu-int8", "wide", "input 'x': expected a format such as a16"),
        ("cpu-int8", "a4", "input 'x': target cpu-int8 has uint8, int16, got a request for 4 bits"),
    ],
)
def test_a_format_that_an_input_cannot_have_is_refused(graph: Graph, target: str, text: str, message: str) -> None:
    with pytest.raises(TargetError) as found:
        place(graph, load_target(target), layers={"x": text})
    assert message in str(found.value)


def test_a_layer_of_the_name_of_an_input_comes_first() -> None:
    net = Net()
    x = net.op("Conv", net.input("x", (1, 4, 6, 6)), net.normal(4, 4, 1, 1), name="c")
    net.output(net.op("Conv", x, net.normal(4, 4, 1, 1), name="d"))
    model = net.model()
    model.graph.node[0].name = "x.conv"
    loaded = load_onnx(model)
    plan = place(loaded, load_target("cpu-int8"), layers={"x": "a16"})
    result = plan[str(loaded.nodes[0].outputs[0].name)]
    assert plan["x"].format is not None and plan["x"].format.type == UINT8
    assert result.format is not None and result.format.type == INT16
