"""Check before lowering that every operator of the Plan is integer and every value has parameters."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph import Graph
from intaglio.number import PerChannel, PerTensor
from intaglio.ops import Role, Same, float_operator
from intaglio.plan import Plan, Source


def blockers(graph: Graph, plan: Plan) -> list[str]:
    """List the reasons why a Graph with this Plan cannot be lowered; empty if it can."""
    found = []
    for node in graph.nodes:
        where = f"[{node.op_type} {node.name!r}]"
        try:
            contract = float_operator(node).contract(node)
        except UnsupportedOperatorError as error:
            found.append(str(error))
            continue
        operator = plan.operators.get(str(node.name))
        if operator is None:
            found.append(f"{where} the Plan has no such operator; it was made for another Graph")
            continue
        if not operator.integer:
            found.append(f"{where} stays float: {operator.why}")
            continue
        needed = [
            v for v, r in zip(node.inputs, contract.roles, strict=False) if v is not None and r is not Role.OFFLINE
        ]
        for value in (*needed, *node.outputs):
            name = str(value.name)
            if name not in plan.values:
                found.append(f"{where} value {name!r} has no representation in the Plan")
            elif plan.root(name).source not in (Source.FUSED, Source.PLAIN) and plan.params(name) is None:
                found.append(f"{where} value {name!r} has no parameters: calibrate first")
            elif value.is_initializer():
                found.extend(_scales_within_sum(where, value, contract.weight_axis, plan))
        if isinstance(contract.output, Same) and not found:
            found.extend(_moved_to_other_grid(node, contract.output.index, plan))
    return found


def _scales_within_sum(where: str, value: ir.Value, axis: int | None, plan: Plan) -> list[str]:
    """Refuse a constant whose scales differ within a sum: one factor after the integer sum cannot apply them."""
    params = plan.params(str(value.name))
    granularity = params.granularity if params is not None else None
    if granularity is None or isinstance(granularity, (PerTensor, PerChannel)):
        return []
    wanted = "one scale" if axis is None else f"one scale per output channel (axis {axis})"
    return [
        f"{where} constant {value.name!r}: expected {wanted}, got {granularity}; quantize it per channel or per tensor"
    ]


def _moved_to_other_grid(node: ir.Node, index: int, plan: Plan) -> list[str]:
    """Refuse an operator that only moves integers if its output has other parameters than its input."""
    source = node.inputs[index]
    want = plan.params(str(source.name)) if source is not None and str(source.name) in plan.values else None
    return [
        f"[{node.op_type} {node.name!r}] moves integers, but the Plan gives value {output.name!r} other parameters "
        f"than its input {source and source.name!r}; let the output share them"
        for output in node.outputs
        if output.name and want is not None and plan.params(str(output.name)) not in (None, want)
    ]
