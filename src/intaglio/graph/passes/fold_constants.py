"""Fold nodes on constants that other passes left."""

from __future__ import annotations

from intaglio.graph.access import constant, where
from intaglio.graph.compute import compute_node
from intaglio.graph.edit import add_constant, remove
from intaglio.graph.graph import Graph


def fold_constants(graph: Graph) -> list[str]:
    """Replace every node that reads constants only by what it computes.

    Raises:
        ModelError: a node on constants cannot be computed; with the reason.
    """
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        given = [value for value in node.inputs if value is not None]
        if node.domain or not given or not all(value.is_initializer() for value in given):
            continue
        if node.op_type == "DequantizeLinear":
            continue  # a quantized weight says how it is represented
        results = compute_node(node, [constant(value) for value in node.inputs], inner.opset_imports)
        for output, result in zip(node.outputs, results, strict=True):
            for use in list(output.uses()):
                assert not isinstance(result, list), "a Graph has no sequences"
                use.node.replace_input_with(use.idx, add_constant(inner, f"{output.name}__folded", result))
        remove(inner, node)
        changes.append(f"{where(node)} reads constants only: computed beforehand")
    return changes
