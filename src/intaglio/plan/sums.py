"""Find accumulators of products of which only the sign is kept."""

from __future__ import annotations

import numpy as np

from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.number import INT32, PerChannel, PerTensor, QuantParams
from intaglio.ops import Role, float_operator
from intaglio.plan.accumulator_grid import accumulator_scale
from intaglio.plan.plan import Plan


def signed_sums(graph: Graph, plan: Plan) -> dict[str, QuantParams]:
    """Find the accumulator grids of products whose result is only the sign of the sum, by value name.

    An integer sum is often exactly 0, whose sign is +1. The same sum in float may be slightly below 0 by rounding.
    """
    found = {}
    nodes = {str(node.name): node for node in graph.nodes}
    for node in graph.nodes:
        fused = plan.operators[str(node.name)].fused
        if not fused or not float_operator(nodes[fused[0]]).contract(nodes[fused[0]]).sign:
            continue
        if float_operator(node).contract(node).roles[:2] != (Role.ACTIVATION, Role.WEIGHT):
            continue  # only sums of products have a grid of their own
        data, weight = (plan.params(str(v.name)) for v in node.inputs[:2] if v is not None)
        if data is None or weight is None:
            continue
        if isinstance(weight.granularity, (PerTensor, PerChannel)):
            y = node.outputs[0]
            axis = 1 if node.op_type.startswith("Conv") else len(shape(y)) - 1
            scale = accumulator_scale(data, weight.scale, shape(y)[axis]).astype(np.float32)
            found[str(y.name)] = QuantParams(INT32, scale, granularity=PerChannel(axis) if scale.ndim else PerTensor())
    return found
