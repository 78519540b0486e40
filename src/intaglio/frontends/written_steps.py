"""Copies of a subgraph in the graph around it: the steps of a loop, or the branch that an If takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, rank
from intaglio.graph.edit import (
    AttributeValue,
    add_constant,
    can_be_output,
    insert,
    remove,
    remove_unread_before,
    rename,
    replace,
)
from intaglio.graph.tail import bodies, disconnect
from intaglio.graph.unique_names import new_node_name, new_value_name, note_names

_AXES_AS_INPUT = 13
"""The first opset whose Unsqueeze has its axes as an input."""

Fold = Callable[[Sequence[ir.Node]], object]
"""Folds nodes of the graph, in order; a value that becomes a constant is replaced wherever it is read."""


class WrittenSteps:
    """Writes nodes in front of one that has subgraphs, and at last in its place.

    Args:
        graph: that holds the node.
        node: an If, Loop or Scan.
        fold: folds the nodes written.
    """

    def __init__(self, graph: ir.Graph, node: ir.Node, fold: Fold) -> None:
        self._graph = graph
        self._node = node
        self._fold = fold
        self._written: list[ir.Node] = []
        for body in bodies(node):
            _hoist_constants(graph, body)

    def write(self, body: ir.Graph, arguments: Sequence[ir.Value], suffix: str) -> list[ir.Value]:
        """Write one copy of a subgraph.

        Args:
            body: a subgraph of the node.
            arguments: values of the graph in the place of its inputs.
            suffix: tells this copy's names from others.
        Returns:
            What stands for its outputs, folded.
        """
        copy = body.clone(allow_outer_scope_values=True)
        for value, argument in zip(copy.inputs, arguments, strict=True):
            value.replace_all_uses_with(argument)
        nodes, results = list(copy), list(copy.outputs)
        copy.outputs.clear()
        for node in nodes:
            names = [node.name or node.op_type.lower(), *(output.name for output in node.outputs)]
            node.name = None  # it must not be in the way of its own new name
            for output in node.outputs:
                output.type = output.shape = output.name = None
            copy.remove(node)
            self._graph.insert_before(self._node, node)
            rename(node, new_node_name(self._graph, f"{names[0]}{suffix}"))
            for output, name in zip(node.outputs, names[1:], strict=True):
                rename(output, new_value_name(self._graph, f"{name}{suffix}") if name else "")
        return self._folded(nodes, results)

    def element(self, value: ir.Value, position: int, axis: int) -> ir.Value:
        """Write the element of a value at one position of an axis; the axis goes."""
        return self._emit("Gather", [value, self.constant(np.array(position))], {"axis": axis})

    def stack(self, values: Sequence[ir.Value], axis: int) -> ir.Value:
        """Write the values beside each other along a new axis; a negative one counts from the end of the result."""
        axis %= rank(values[0]) + 1
        if self._graph.opset_imports[""] < _AXES_AS_INPUT:
            rows = [self._emit("Unsqueeze", [value], {"axes": [axis]}) for value in values]
        else:
            rows = [self._emit("Unsqueeze", [value, self.constant(np.array([axis]))], {}) for value in values]
        return self._emit("Concat", rows, {"axis": axis})

    def constant(self, array: Array) -> ir.Value:
        """Add a constant to the graph."""
        return add_constant(self._graph, f"{self._node.name}.constant", array)

    def finish(self, results: Sequence[ir.Value | None]) -> None:
        """Put results in the place of the node's outputs, and remove it; None stands for outputs that are not read."""
        for output, value in zip(self._node.outputs, results, strict=False):  # the last ones may be left out
            if value is None:
                continue
            if not output.is_graph_output():
                output.replace_all_uses_with(value)
                continue
            if not can_be_output(value):
                value = insert(self._graph, self._node, "Identity", [value], name=f"{self._node.name}.out").outputs[0]
            replace(output, value)
        disconnect(self._node)
        remove(self._graph, self._node)

    def undo(self) -> None:
        """Remove what was written."""
        remove_unread_before(self._graph, *(node for node in self._written if node.graph is self._graph))

    def _emit(self, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, AttributeValue]) -> ir.Value:
        name = f"{self._node.name}.{op_type.lower()}"
        node = insert(self._graph, self._node, op_type, inputs, attributes, name=name)
        return self._folded([node], [node.outputs[0]])[0]

    def _folded(self, nodes: Sequence[ir.Node], values: Sequence[ir.Value]) -> list[ir.Value]:
        """Fold nodes, and return what the values have become."""
        self._written += nodes
        reader = ir.Node("", "Identity", values)  # in no graph; a value that is folded is replaced where it is read
        self._fold(nodes)
        found = [value for value in reader.inputs if value is not None]
        for index in range(len(values)):
            reader.replace_input_with(index, None)
        return found


def give_results_nodes(graph: ir.Graph) -> None:
    """Let every result of the subgraphs in a graph be computed by a node of its subgraph, by an Identity if need be."""
    for node in graph:
        for body in bodies(node):
            for index, value in enumerate(list(body.outputs)):
                producer = value.producer()
                if producer is None or producer.graph is not body:
                    same = ir.Node("", "Identity", [value], name=f"{value.name}.same")
                    same.outputs[0].name = f"{value.name}.same"
                    body.append(same)
                    body.outputs[index] = same.outputs[0]
            give_results_nodes(body)


def _hoist_constants(graph: ir.Graph, body: ir.Graph) -> None:
    """Move the constants of a subgraph, and of those inside it, to the graph, so that all copies share them."""
    for value in list(body.initializers.values()):
        body.initializers.pop(str(value.name))
        rename(value, new_value_name(graph, str(value.name)))
        graph.register_initializer(value)
        note_names(graph, [value])
    for node in body:
        for inner in bodies(node):
            _hoist_constants(graph, inner)
