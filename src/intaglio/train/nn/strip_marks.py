"""Remove the marks that quantizers leave in an exported network."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph import Graph
from intaglio.graph.access import constant, consumers
from intaglio.graph.edit import insert, remove, remove_unread, replace
from intaglio.ops import Same, contract_of


def strip_marks(graph: Graph) -> dict[ir.Value, int]:
    """Remove the pairs of QuantizeLinear and DequantizeLinear from a Graph, in place.

    For a value that is rounded a second time, insert a Clip without bounds; its result has the second grid.

    Returns:
        For each marked value, the index of its quantizer in the list that `exporting` gives.
    Raises:
        ModelError: a value is read before it is rounded.
        UnsupportedOperatorError: an operator that Intaglio does not support.
    """
    inner = graph.model.graph
    marks: dict[ir.Value, int] = {}
    for node in graph.nodes:
        index = _index(node)
        if index is None:
            continue
        source, result = node.inputs[0], consumers(node.outputs[0])[0].outputs[0]
        assert source is not None
        origin = _origin(source)
        if origin not in marks and any(_index(use.node) != index for use in source.uses()):
            raise ModelError(
                f"value '{source.name}': expected all its readers after one quantizer, got readers of it before it is "
                "rounded; round it once and use only the rounded result (Requantize gives another format)"
            )
        if marks.get(origin) != index:
            if origin in marks:
                origin = source = insert(inner, node, "Clip", [source], name=f"{source.name}.requantized").outputs[0]
            marks[origin] = index
        if result.is_graph_output() and (source.is_graph_input() or source.is_graph_output()):
            source = insert(inner, node, "Clip", [source], name=f"{source.name}.copy").outputs[0]
            marks[source] = index
        _replace(inner, result, source)
        pair = result.producer()
        assert pair is not None
        remove(inner, pair, node)
    remove_unread(inner)
    inner.sort()
    return marks


def _index(node: ir.Node) -> int | None:
    """Return the index of a mark's quantizer, which is stored in its scale; None for other nodes."""
    if node.op_type != "QuantizeLinear":
        return None
    scale = constant(node.inputs[1])
    assert scale is not None
    return round(float(scale)) - 1


def _origin(value: ir.Value) -> ir.Value:
    """Walk back through single-consumer data-movement nodes to the value that they move."""
    while (node := value.producer()) is not None and len(node.outputs) == 1:
        output = contract_of(node).output
        source = node.inputs[output.index] if isinstance(output, Same) and not output.rounds else None
        if source is None or len(source.uses()) != 1 or source.is_graph_output():
            break
        value = source
    return value


def _replace(graph: ir.Graph, rounded: ir.Value, value: ir.Value) -> None:
    """Let readers of a rounded value read the original value, which keeps its name."""
    name = value.name
    if rounded.is_graph_output():
        replace(rounded, value)
        value.name = name
    else:
        rounded.replace_all_uses_with(value)
