"""New names are unique, and finding them does not walk the graph once for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import Net
from intaglio_tests.random_images import RandomImages

from intaglio.frontends import load_onnx, prepare
from intaglio.graph import Graph, edit, unique_names
from intaglio.graph.passes import pass_contract


def chain(layers: int) -> Graph:
    """Layers, each followed by a decomposed activation that a pass fuses."""
    net = Net()
    x = net.input("x", ("N", 4))
    for _ in range(layers):
        x = net.op("Add", net.op("MatMul", x, net.normal(4, 4)), net.normal(4))
        x = net.op("Mul", x, net.op("Sigmoid", x))
    return load_onnx(net.output(x).model())


@pytest.mark.parametrize("seed", range(12))
def test_kept_names_give_the_graph_that_a_walk_for_each_name_gives(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = RandomImages(seed)
    for _ in range(14):
        network.step()
    graph = load_onnx(network.net.output(network.values[-1][0]).model()) if len(network.values) > 1 else chain(3)
    kept = prepare(graph)
    monkeypatch.setattr(pass_contract, "names_kept", nullcontext)
    walked = prepare(graph)
    assert kept.history == walked.history
    assert kept.proto() == walked.proto()


def test_walks_over_the_graph_do_not_grow_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[str] = []
    walk = ir.Graph.__iter__

    def counted(graph: ir.Graph) -> Iterator[ir.Node]:
        walks.append(str(graph.name))
        return walk(graph)

    monkeypatch.setattr(ir.Graph, "__iter__", counted)
    counts = []
    for layers in (4, 16):
        graph = chain(layers)
        walks.clear()
        assert len(prepare(graph).nodes) == 2 * layers
        counts.append(len(walks))
    assert counts[0] == counts[1]


def test_a_name_that_was_handed_on_or_given_up_is_found() -> None:
    graph = chain(1)
    inner = graph.model.graph
    with unique_names.names_kept(inner):
        first = edit.add_constant(inner, "c", np.zeros(1, np.float32))
        assert unique_names.new_value_name(inner, "c") == "c__2"
        edit.rename(first, "d")
        assert (unique_names.new_value_name(inner, "c"), unique_names.new_value_name(inner, "d")) == ("c", "d__2")
        second = edit.add_constant(inner, "c", np.zeros(1, np.float32))
        inner.initializers.pop("d")
        second.name = "d"  # handed on without notice
        assert (unique_names.new_value_name(inner, "c"), unique_names.new_value_name(inner, "d")) == ("c", "d__2")
        assert unique_names.new_value_name(inner, "e", besides=["e", "e__2"]) == "e__3"
        node = str(graph.nodes[0].name)
        assert unique_names.new_node_name(inner, node) == f"{node}__2"
