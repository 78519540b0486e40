"""Constants of constants: what other passes left to be computed beforehand."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from intaglio.graph.access import Array, where
from intaglio.graph.edit import add_constant, remove
from intaglio.graph.graph import Graph


def fold_constants(graph: Graph) -> list[str]:
    """Replace every node that reads constants only by what it computes."""
    changes = []
    inner = graph.model.graph
    for node in graph.nodes:
        given = [value for value in node.inputs if value is not None]
        if node.domain or not given or not all(value.is_initializer() for value in given):
            continue
        if node.op_type == "DequantizeLinear":
            continue  # a quantized weight says how it is represented
        arrays = evaluate(node, dict(inner.opset_imports))
        if arrays is None:
            continue
        for output, array in zip(node.outputs, arrays, strict=True):
            for use in list(output.uses()):
                use.node.replace_input_with(use.idx, add_constant(inner, f"{output.name}__folded", array))
        remove(inner, node)
        changes.append(f"{where(node)} reads constants only: computed beforehand")
    return changes


def evaluate(node: ir.Node, opset_imports: dict[str, int]) -> list[Array] | None:
    """What a node with constant inputs computes, by ONNX's reference implementation; None where it has none."""
    given = {str(value.name): value for value in node.inputs if value is not None}
    graph = onnx.helper.make_graph(
        [ir.serde.serialize_node(node)],
        "node",
        [],
        [onnx.helper.make_empty_tensor_value_info(str(output.name)) for output in node.outputs],
        [ir.serde.serialize_tensor(value.const_value) for value in given.values() if value.const_value is not None],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opset_imports.items()]
    try:
        return list(ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports)).run(None, {}))
    except Exception:  # the reference lacks some operators; the node stays then
        return None
