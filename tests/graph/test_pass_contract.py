"""A pass that breaks its contract is named; the real ones keep it, and every value that keeps its name."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import Net
from intaglio_tests.random_images import RandomImages

from intaglio.errors import ModelError
from intaglio.frontends import load_onnx
from intaglio.graph import Graph, graph_fingerprint
from intaglio.graph.edit import insert, set_attribute, set_constant
from intaglio.graph.passes import PASSES, prepare
from intaglio.graph.passes.pass_contract import Checked, Pass, PassError, check_order
from intaglio.simulate import Simulator


@pytest.fixture
def graph() -> Graph:
    net = Net()
    x = net.op("LeakyRelu", net.conv(net.input("x", ("N", 3, 8, 8)), 3, 4), alpha=0.25)
    net.output(net.op("Relu", x), net.op("Transpose", x, perm=[0, 2, 3, 1]))
    return load_onnx(net.model())


def unnamed(graph: Graph) -> list[str]:
    graph.nodes[0].outputs[0].name = graph.nodes[1].outputs[0].name
    return ["names"]


def silent(graph: Graph) -> list[str]:
    set_attribute(graph.nodes[1], "alpha", 0.5)
    return []


def silent_about_a_constant(graph: Graph) -> list[str]:
    value = graph.initializers[0]
    set_constant(value, value.const_value.numpy() * 2)
    return []


def boasting(graph: Graph) -> list[str]:
    return ["everything is better now"]


def drops_an_output(graph: Graph) -> list[str]:
    graph.model.graph.outputs.pop()
    return ["one less"]


def turns_an_output(graph: Graph) -> list[str]:
    set_attribute(graph.nodes[-1], "perm", [0, 3, 2, 1])
    graph.outputs[1].shape = ir.Shape([1, 6, 6, 4])
    graph.outputs[1].shape = ir.Shape([1, *list(graph.outputs[1].shape)[:0:-1]])
    return ["turned"]


def cycle(graph: Graph) -> list[str]:
    first, second = graph.nodes[:2]
    first.replace_input_with(0, second.outputs[0])
    return ["round and round"]


def reads_what_is_not_there(graph: Graph) -> list[str]:
    graph.nodes[1].replace_input_with(0, ir.Value(name="gone", shape=ir.Shape([1, 4, 6, 6])))
    return ["a new input"]


def untyped(graph: Graph) -> list[str]:
    graph.nodes[1].outputs[0].shape = None
    graph.nodes[1].replace_input_with(
        0, insert(graph.model.graph, graph.nodes[1], "Relu", graph.nodes[1].inputs, name="r").outputs[0]
    )
    return ["a Relu"]


def reshapes_a_value(graph: Graph) -> list[str]:
    node = graph.nodes[1]
    node.replace_input_with(0, insert(graph.model.graph, node, "Relu", node.inputs, name="r").outputs[0])
    node.outputs[0].shape = ir.Shape([1, 8, 6, 3])
    return ["another size"]


def fails(graph: Graph) -> list[str]:
    raise KeyError("why")


BROKEN = {
    silent: "it said that it changed nothing, and a change was found",
    silent_about_a_constant: "it said that it changed nothing, and a change was found",
    boasting: "it said that it changed something, and nothing was found",
    drops_an_output: "expected the outputs .* to stay, got",
    turns_an_output: "expected the outputs .* to stay, got",
    cycle: "",
    unnamed: "expected a unique name",
    reads_what_is_not_there: "expected its input 'gone' to be computed before it",
    untyped: "expected a type and a static shape",
    reshapes_a_value: "to keep its shape",
    fails: "KeyError: 'why'",
}


@pytest.mark.parametrize(("broken", "text"), BROKEN.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_pass_is_named(graph: Graph, broken, text: str) -> None:
    with pytest.raises(PassError, match=f"^pass {broken.__name__}: .*{text}"):
        Checked(graph).run(Pass(broken))


def test_a_pass_may_permute_where_it_says_so(graph: Graph) -> None:
    def permuted(graph: Graph) -> list[str]:
        node = graph.nodes[1]
        node.replace_input_with(0, insert(graph.model.graph, node, "Relu", node.inputs, name="r").outputs[0])
        sizes = list(node.outputs[0].shape)
        node.outputs[0].shape = ir.Shape([sizes[0], *sizes[2:], sizes[1]])
        return ["other axes"]

    assert Checked(graph.copy()).run(Pass(permuted, permutes=True)) == ["other axes"]
    with pytest.raises(PassError, match="to keep its shape"):
        Checked(graph).run(Pass(permuted))


def test_a_quiet_pass_need_not_tell_and_is_checked_all_the_same(graph: Graph) -> None:
    assert Checked(graph.copy()).run(Pass(silent, quiet=True)) == []
    with pytest.raises(PassError, match="it said that it changed something"):
        Checked(graph.copy()).run(Pass(boasting, quiet=True))

    def silently_drops(graph: Graph) -> list[str]:
        return drops_an_output(graph)[:0]

    with pytest.raises(PassError, match="expected the outputs"):
        Checked(graph).run(Pass(silently_drops, quiet=True))


def test_what_a_pass_says_of_the_model_stays_its_own_error(graph: Graph) -> None:
    def refuses(graph: Graph) -> list[str]:
        raise ModelError("[Conv 'a'] cannot be")

    with pytest.raises(ModelError, match=r"^\[Conv 'a'\] cannot be$"):
        Checked(graph).run(Pass(refuses))


def test_what_a_pass_needs_comes_before_it() -> None:
    check_order(PASSES)
    needs = [one for one in PASSES if one.needs]
    assert needs
    for one in needs:
        with pytest.raises(PassError, match=f"pass {one.name}: expected {one.needs[0].__name__} before it"):
            check_order([one])


@pytest.mark.parametrize("seed", range(12))
def test_each_pass_keeps_every_value_that_keeps_its_name(seed: int) -> None:
    network = RandomImages(1000 + seed)
    for _ in range(14):
        network.step()
    net = network.net
    graph = load_onnx(net.output(*sorted({value for value, _, _ in network.values[1::4]})).model())
    x = np.random.default_rng(seed).normal(size=(1, 4, 6, 6)).astype(np.float32)
    checked = Checked(made := graph.copy())
    for _ in range(3):
        for one in PASSES:
            before = values(made, x)
            if not checked.run(one):
                continue
            now = values(made, x)
            kept = {str(v.name) for v in made.outputs} if one.permutes else before.keys() & now.keys()
            for name in kept:
                scale = max(1.0, float(np.abs(before[name]).max()))
                np.testing.assert_allclose(now[name], before[name], atol=2e-5 * scale, err_msg=f"{one.name} {name}")
    assert graph_fingerprint(prepare(graph)) == graph_fingerprint(prepare(graph))


def values(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    Simulator(graph).run(x, observe=lambda name, value: found.update({name: value.numpy().copy()}))
    return found
