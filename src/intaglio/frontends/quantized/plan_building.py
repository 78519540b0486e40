"""From what a file says about some values to a Plan that says how every value is represented."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.frontends.quantized.constants import Constants
from intaglio.frontends.quantized.float_regions import fill_float_regions, refuse_float_regions
from intaglio.frontends.quantized.formats import FILE, TARGET
from intaglio.frontends.quantized.grids import requantization
from intaglio.frontends.quantized.spread import spread
from intaglio.frontends.quantized.strip import Stripped
from intaglio.frontends.quantized.value_plans import Known
from intaglio.graph import consumers
from intaglio.graph.access import where
from intaglio.number import Rule
from intaglio.ops import Same
from intaglio.plan import OperatorPlan, Plan, Source


def represent(stripped: Stripped) -> Plan:
    """The Plan of a graph without its QuantizeLinear nodes; may add requantizations to the graph, and notes.

    Values without parameters of their own lie between an operator and the activation that is its saturation, or
    beside an operator that only moves integers. What is left is held in 16 bits where its range is known.

    Raises:
        UnsupportedOperatorError: operators that Intaglio does not have; all are listed.
        ModelError: values that the file leaves float; all are listed.
    """
    known = Known(stripped.graph)
    known.find_contracts()
    for value, params in stripped.params.items():
        known.add(value, Source.OWN, FILE, params)
    spread(known)
    stripped.notes += fill_float_regions(known)
    refuse_float_regions(known, stripped)
    for node in stripped.graph.nodes:
        stripped.notes += _bridge(known, node)
    known.find_contracts()
    plan = Plan(TARGET, Rule.HALF_EVEN, accumulator=64)
    constants = Constants(stripped, plan, known.params)
    for node in stripped.graph.nodes:
        constants.add(node, known.contracts[node])
    _collect(known, plan)
    return plan


def _bridge(known: Known, node: ir.Node) -> list[str]:
    """Let an operator that moves integers write the grid that it reads; requantize where the file has another."""
    contract, notes = known.contracts[node], []
    if not isinstance(contract.output, Same):
        return []
    source = node.inputs[contract.output.index]
    assert source is not None
    given = known.params(source)
    for value in node.outputs:
        wanted = known.params(value)
        if wanted is None or given is None:
            continue
        if wanted != given:
            _requantize(known, node, value)
            known.add(value, Source.SHARED, f"{node.op_type} keeps the parameters of {source.name}", of=source)
            notes.append(f"{where(node)} moves integers to another grid in the file: requantized behind it")
        elif known.source(value) is Source.OWN and not known.leads_to(source, value):
            why = f"{FILE}, and as {node.op_type} has it: the parameters of {source.name}"
            known.add(value, Source.SHARED, why, of=source)
    return notes


def _requantize(known: Known, node: ir.Node, value: ir.Value) -> None:
    """A requantization behind a node, whose result takes over the value's name, readers and plan."""
    inner, params = known.graph.model.graph, known.params(value)
    assert params is not None
    users, was_output = list(value.uses()), value.is_graph_output()
    copy = requantization(inner, node, value, params, f"{value.name}.moved")
    clip = copy.producer()
    assert clip is not None
    inner.remove(clip)
    inner.insert_after(node, clip)
    for use in users:
        use.node.replace_input_with(use.idx, copy)
    for index, output in enumerate(inner.outputs):
        if was_output and output is value:
            inner.outputs[index] = copy
    value.name, copy.name = copy.name, value.name
    known.hand_over(value, copy)


def _collect(known: Known, plan: Plan) -> None:
    """Computed values and operators into the Plan, with the names that they have now."""
    graph = known.graph
    for value in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs if v.name)):
        found = known.plans[value]
        found.name = str(value.name)
        found.of = (str(known.origin[value].name),) if value in known.origin else ()
        plan.values[found.name] = found
    for found in plan.values.values():
        if found.source is Source.SHARED:
            found.format = plan.root(found.name).format
    for node in graph.nodes:
        fused = _fused(known, node)
        why = f"saturation does the work of {', '.join(fused)}" if fused else ""
        plan.operators[str(node.name)] = OperatorPlan(str(node.name), node.op_type, True, why, fused)


def _fused(known: Known, node: ir.Node) -> tuple[str, ...]:
    """Names of the clamps that are a node's saturation."""
    names: list[str] = []
    value = node.outputs[0]
    while known.source(value) is Source.FUSED:
        after = consumers(value)[0]
        names.append(str(after.name))
        value = after.outputs[0]
    return tuple(names)
