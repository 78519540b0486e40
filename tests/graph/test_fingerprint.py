"""The fingerprint of a Graph: the same for the same network, another one after any change."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from intaglio_tests.onnx_net import Net

from intaglio.frontends import load_onnx
from intaglio.graph import Graph, graph_fingerprint
from intaglio.graph.edit import set_attribute, set_constant
from intaglio.ops.float_operator import FLOAT_OPERATORS

Kinds = onnx.defs.OpSchema.AttrType
PAIRS = {
    Kinds.INT: (1, 2),
    Kinds.FLOAT: (1.0, 1.0 + 2.0**-23),
    Kinds.STRING: ("a", "b"),
    Kinds.STRINGS: (("a", "b"), ("b", "a")),
    Kinds.INTS: ((1, 2), (2, 1)),
    Kinds.FLOATS: ((1.0, 2.0), (2.0, 1.0)),
    Kinds.TENSOR: (ir.Tensor(np.zeros(2000, np.float32)), ir.Tensor(np.eye(1, 2000, 1000, dtype=np.float32)[0])),
}


def every_attribute() -> Iterator[tuple[str, str, Kinds]]:
    for op_type in sorted(FLOAT_OPERATORS):
        if onnx.defs.has(op_type):
            schema = onnx.defs.get_schema(op_type)
            yield from ((op_type, name, kind.type) for name, kind in sorted(schema.attributes.items()))


@pytest.fixture
def graph() -> Graph:
    net = Net()
    x = net.op("Relu", net.conv(net.input("x", ("N", 3, 8, 8)), 3, 4, strides=[2, 1]), name="act")
    return load_onnx(net.output(net.op("LeakyRelu", x, name="leaky", alpha=0.25), x).model())


@pytest.mark.parametrize(("op_type", "name", "kind"), list(every_attribute()))
def test_any_change_of_an_attribute_changes_it(graph: Graph, op_type: str, name: str, kind: Kinds) -> None:
    node = graph.nodes[-1]
    node.op_type = op_type
    found = [graph_fingerprint(graph)]
    for value in PAIRS[kind]:
        set_attribute(node, name, value)  # type: ignore[arg-type]
        found.append(graph_fingerprint(graph))
    assert len(set(found)) == 3


def test_it_is_that_of_the_network_alone(graph: Graph) -> None:
    copy = graph.copy()
    copy.history.append("read again")
    copy.model.producer_name = "another tool"
    assert graph_fingerprint(copy) == graph_fingerprint(graph)


def test_any_change_of_the_network_changes_it(graph: Graph) -> None:
    def changed() -> Iterator[Graph]:
        for index in range(len(graph.initializers)):
            copy = graph.copy()
            value = copy.initializers[index]
            array = np.array(value.const_value.numpy())  # type: ignore[union-attr]
            array.reshape(-1)[-1] += 1
            set_constant(value, array)
            yield copy
        for field in ("op_type", "domain", "name"):
            copy = graph.copy()
            setattr(copy.nodes[-1], field, "Other")
            yield copy
        copy = graph.copy()
        copy.nodes[-1].replace_input_with(0, copy.inputs[0])
        yield copy
        copy = graph.copy()
        copy.nodes[-1].outputs[0].name = "other"
        yield copy
        copy = graph.copy()
        copy.model.graph.outputs.reverse()
        yield copy
        copy = graph.copy()
        copy.inputs[0].shape = ir.Shape([1, 3, 8, 9])
        yield copy

    found = [graph_fingerprint(graph), *(graph_fingerprint(other) for other in changed())]
    assert len(set(found)) == len(found)
