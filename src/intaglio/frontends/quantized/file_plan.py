"""Complete the parameters that a file gives for some values to a Plan of all values."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.quantized.constants import plan_constants
from intaglio.frontends.quantized.float_regions import fill_float_regions, refuse_float_regions
from intaglio.frontends.quantized.formats import FILE, format_of
from intaglio.frontends.quantized.grids import requantization
from intaglio.frontends.quantized.spread import spread
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph.access import where
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.number import PerTensor, Rule
from intaglio.ops import Same
from intaglio.plan import Plan, PlanBuilder, Source
from intaglio.plan.contracts import contracts_of
from intaglio.program.structure import FILE_TARGET


def plan_of_file(stripped: Stripped, rule: Rule) -> Plan:
    """Build the Plan of a graph whose QuantizeLinear nodes were removed.

    May add requantizations to the graph, and notes. Some values have no parameters in the file: a value between an
    operator and the activation fused into it needs none; the input or result of an operator that only moves integers
    shares those of the other side; any other value gets 16 bits if its range is known.

    Args:
        stripped: the graph and the file's parameters.
        rule: how the engine rounds for which the file was made.
    Raises:
        UnsupportedOperatorError: operators that Intaglio does not support; all are listed.
        ModelError: values that the file leaves float; all are listed.
    """
    plan = PlanBuilder(stripped.graph, contracts_of(stripped.graph))
    for value, params in stripped.params.items():
        if not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"value '{value.name}': expected one scale for a computed value, got {params.scale.size}; quantize "
                "activations per tensor"
            )
        plan.own(value, FILE, format_of(params), params)
    for value in stripped.graph.inputs:
        if is_integer_input(value):
            plan.plain(value, f"input of the network: integers ({value.dtype}), which are not quantized")
    spread(plan)
    stripped.notes += fill_float_regions(plan)
    refuse_float_regions(plan, stripped)
    for node in stripped.graph.nodes:
        stripped.notes += _bridge(plan, node)
    for node in stripped.graph.nodes:
        plan_constants(plan, node, stripped)
    return plan.finish(FILE_TARGET, rule, accumulator=32 if rule is Rule.TFLITE else 64)


def _bridge(plan: PlanBuilder, node: ir.Node) -> list[str]:
    """Let an operator that moves integers keep its input's grid; requantize its result if the file has another."""
    contract, notes = plan.contract(node), []
    if not isinstance(contract.output, Same):
        return []
    source = node.inputs[contract.output.index]
    assert source is not None
    given = plan.params(source)
    for value in node.outputs:
        wanted = plan.params(value)
        if wanted is None or given is None:
            continue
        if wanted != given:
            _requantize(plan, node, value)
            plan.share(value, source, f"{node.op_type} keeps the parameters of {source.name}")
            notes.append(f"{where(node)} moves integers to another grid in the file: its result is requantized")
        elif plan.source(value) is Source.OWN and not plan.leads_to(source, value):
            plan.share(value, source, f"{FILE}; {node.op_type} keeps the parameters of {source.name}")
    return notes


def _requantize(plan: PlanBuilder, node: ir.Node, value: ir.Value) -> None:
    """Add a requantization after a node; its result takes over the value's name, readers and plan."""
    inner, params = plan.graph.model.graph, plan.params(value)
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
    plan.hand_over(value, copy)
