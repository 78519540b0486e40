"""Write Max and Min of two computed values as ReduceMax and ReduceMin over a new axis, on which they lie side by side.

It comes after `fuse_activations`: the larger of x and 0.1 x is a LeakyRelu.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import shape, where
from intaglio.graph.edit import add_constant, insert, remove, replace
from intaglio.graph.graph import Graph
from intaglio.graph.operators import facts


def make_extrema(graph: Graph) -> list[str]:
    """Replace them; those with a constant are clamps, which `canonicalize` writes."""
    changes = []
    for node in graph.nodes:
        if node.domain or not facts(node.op_type).extremum or len(node.inputs) != 2:
            continue
        if node.outputs[0].dtype != ir.DataType.FLOAT or not shape(node.outputs[0]):
            continue
        if any(value is None or value.is_initializer() for value in node.inputs):
            continue
        text = where(node)
        changes.append(f"{text} is {_reduced(graph.model.graph, node)} over both operands")
    return changes


def _reduced(graph: ir.Graph, node: ir.Node) -> str:
    target, parts = shape(node.outputs[0]), []
    axis = add_constant(graph, f"{node.name}.axis", np.array([1], dtype=np.int64))
    for value in node.inputs:
        if shape(value) != target:
            own = shape(value)
            lead = (1,) * (len(target) - len(own))
            sizes = [1 if n == m else m for n, m in zip((*lead, *own), target, strict=True)]
            wanted = add_constant(graph, f"{node.name}.sizes", np.array(sizes, dtype=np.int64))
            value = insert(graph, node, "Expand", [value, wanted], name=f"{node.name}.expand").outputs[0]
        apart = add_constant(graph, f"{node.name}.apart", np.array([1], dtype=np.int64))
        parts.append(insert(graph, node, "Unsqueeze", [value, apart], name=f"{node.name}.side").outputs[0])
    both = insert(graph, node, "Concat", parts, {"axis": 1}, name=f"{node.name}.both")
    kind = f"Reduce{node.op_type}"
    result = insert(graph, node, kind, [both.outputs[0], axis], {"keepdims": 0}, name=f"{node.name}.reduce")
    replace(node.outputs[0], result.outputs[0])
    remove(graph, node)
    return kind
