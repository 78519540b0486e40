"""Propagate known parameters to neighbours: through data movement, and to values before a fused activation."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.frontends.quantized.formats import format_of
from intaglio.graph import consumers, is_output
from intaglio.ops import Joined, Same
from intaglio.plan import PlanBuilder, Source


def spread(plan: PlanBuilder) -> None:
    """Plan every value whose representation follows from planned values; repeat until nothing changes."""
    count = -1
    while count < len(plan):
        count = len(plan)
        nodes = plan.graph.nodes
        for node in reversed(nodes):
            for value in node.inputs:
                if value is not None and value not in plan and not value.is_initializer():
                    _from_reader(plan, value)
        for node in nodes:
            for value in node.outputs:
                if value.name and value not in plan:
                    _from_inputs(plan, node, value)


def _from_reader(plan: PlanBuilder, value: ir.Value) -> None:
    """Plan a value from the representation of its only reader's result."""
    users = consumers(value)
    if len(users) != 1 or len(list(value.uses())) != 1 or is_output(value):
        return
    reader, contract = users[0], plan.contract(users[0])
    if contract.clamp is not None and plan.fuse(value):
        return
    result, params = reader.outputs[0], plan.params(reader.outputs[0])
    moves = isinstance(contract.output, (Same, Joined)) or contract.clamp is not None
    if not moves or params is None or len(reader.outputs) != 1:
        return
    if isinstance(contract.output, Same) and reader.inputs[contract.output.index] is not value:
        return
    if value.is_graph_input():
        plan.own(value, f"the file's parameters of the result of {reader.name}", format_of(params), params)
    elif not plan.leads_to(result, value):
        plan.share(value, result, f"its only reader {reader.name} keeps the integers of its input")


def _from_inputs(plan: PlanBuilder, node: ir.Node, value: ir.Value) -> None:
    """Plan a node's result from the representation of its inputs."""
    if plan.indices(node, value):
        return
    source = plan.kept_input(node)
    if source is not None and plan.source(source) not in (None, Source.FUSED):
        why = f"{node.op_type} keeps the integers of {source.name}; the file gives it no parameters of its own"
        plan.share(value, source, why)
