"""Parameters for the neighbours of values that have some: moved integers, and what lies before a fused activation."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.frontends.quantized.value_plans import Known
from intaglio.graph import consumers, is_output
from intaglio.ops import Joined, Plain, Same
from intaglio.plan import Source


def spread(known: Known) -> None:
    """Plan every value that follows from those that are planned."""
    count = -1
    while count < len(known.plans):
        count = len(known.plans)
        nodes = known.graph.nodes
        for node in reversed(nodes):
            for value in node.inputs:
                if value is not None and value not in known and not value.is_initializer():
                    _from_reader(known, value)
        for node in nodes:
            for value in node.outputs:
                if value.name and value not in known:
                    _from_inputs(known, node, value)


def _from_reader(known: Known, value: ir.Value) -> None:
    """What the only reader of a value makes of it."""
    users = consumers(value)
    if len(users) != 1 or len(list(value.uses())) != 1 or is_output(value):
        return
    reader, contract = users[0], known.contracts[users[0]]
    result = reader.outputs[0]
    if contract.clamp is not None and value is reader.inputs[0] and _can_saturate(known, value):
        why = f"stays in the accumulator: {reader.op_type} is the saturation of the operator before it"
        known.add(value, Source.FUSED, why, of=result)
        return
    moves = isinstance(contract.output, (Same, Joined)) or contract.clamp is not None
    if not moves or known.source(result) in (None, Source.FUSED, Source.PLAIN) or len(reader.outputs) != 1:
        return
    if isinstance(contract.output, Same) and reader.inputs[contract.output.index] is not value:
        return
    if value.is_graph_input():
        known.add(value, Source.OWN, f"as the file says of what {reader.name} makes of it", known.params(result))
    elif not known.leads_to(result, value):
        why = f"only {reader.name} reads it, which keeps the integers of its input"
        known.add(value, Source.SHARED, why, of=result)


def _can_saturate(known: Known, value: ir.Value) -> bool:
    """Whether the operator that computes a value can take a clamp behind it as its saturation."""
    producer = value.producer()
    if producer is None or len(producer.outputs) != 1:
        return False
    contract = known.contracts[producer]
    return contract.fuses_clamp if contract.clamp is None else known.source(producer.inputs[0]) is Source.FUSED


def _from_inputs(known: Known, node: ir.Node, value: ir.Value) -> None:
    """What a node makes of inputs whose plan is known."""
    contract = known.contracts[node]
    if isinstance(contract.output, Plain):
        known.add(value, Source.PLAIN, f"{node.op_type} gives indices, not quantized numbers")
        return
    if isinstance(contract.output, Joined):
        given = [v for v in node.inputs if v is not None and not v.is_initializer()]
        grids = [known.params(v) for v in given]
        if all(grid is not None and grid == grids[0] for grid in grids):
            known.add(value, Source.SHARED, f"{node.op_type} of values on one grid", of=given[0])
        return
    if contract.clamp is not None:
        source = node.inputs[0]
    elif isinstance(contract.output, Same):
        source = node.inputs[contract.output.index]
    else:
        return
    kind = known.source(source)
    if source is None or kind in (None, Source.FUSED):
        return
    if kind is Source.PLAIN:
        known.add(value, Source.PLAIN, known.plans[source].why)
    else:
        why = f"{node.op_type} keeps the integers of {source.name}; the file gives it no parameters of its own"
        known.add(value, Source.SHARED, why, of=source)
