"""Represent values that a file leaves float in 16 bits, where their range follows from the integers before them."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.quantized.float_ranges import Range, distinguished, static_range
from intaglio.frontends.quantized.formats import format_of
from intaglio.frontends.quantized.spread import spread
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph import consumers, is_output
from intaglio.graph.access import where
from intaglio.number import INT16, Scheme, choose_params
from intaglio.ops import Role
from intaglio.plan import PlanBuilder


def fill_float_regions(plan: PlanBuilder) -> list[str]:
    """Plan each value that is still float in 16 bits over its provable range; return a note for each.

    16 bits over the provable range are finer than 8 bits over a measured range.
    """
    notes = []
    for node in plan.graph.nodes:
        for value in node.outputs:
            bounds = _bounds(plan, node, value) if value.name and value not in plan else None
            if bounds is None:
                continue
            why = f"float in the file: 16 bits over [{bounds[0]:.4g}, {bounds[1]:.4g}], its provable range"
            params = choose_params(*bounds, INT16, Scheme.SYMMETRIC)
            plan.fixed(value, why, format_of(params), params)
            notes.append(f"{where(node)} its result '{value.name}' is float in the file: held in 16 bits")
            spread(plan)
    return notes


def _bounds(plan: PlanBuilder, node: ir.Node, value: ir.Value) -> Range | None:
    """Bound a node's result, cut to the part that its only reader can distinguish."""
    bounds = static_range(node, [_reach(plan, source) for source in node.inputs])
    users = consumers(value)
    after = plan.params(users[0].outputs[0]) if len(users) == 1 and not is_output(value) else None
    return bounds if bounds is None or after is None else distinguished(users[0], bounds, after)


def _reach(plan: PlanBuilder, value: ir.Value | None) -> Range | None:
    """Bound a value: by its codes, or by the operator whose accumulator holds it."""
    params, producer = plan.params(value), value.producer() if value is not None else None
    if params is not None:
        return float(params.range[0]), float(params.range[1])
    if producer is None or value not in plan:
        return None
    return static_range(producer, [_reach(plan, source) for source in producer.inputs])


def refuse_float_regions(plan: PlanBuilder, stripped: Stripped) -> None:
    """Refuse a graph with values or weights that are still float.

    Raises:
        ModelError: every such value and weight is listed.
    """
    problems = [
        f"input '{value.name}' has no QuantizeLinear after it" for value in plan.graph.inputs if value not in plan
    ]
    for node in plan.graph.nodes:
        problems += [
            f"{where(node)} its result '{value.name}' has no QuantizeLinear after it"
            for value in node.outputs
            if value.name and value not in plan
        ]
        for value, role in zip(node.inputs, plan.contract(node).roles, strict=False):
            if value is not None and role is Role.WEIGHT and value not in stripped.constants:
                problems.append(f"{where(node)} its weight '{value.name}' is not quantized")
    if problems:
        raise ModelError(
            f"{plan.graph.name}: expected every value to be quantized, got {len(problems)} that stay float:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nquantize these operators too, or start from the float network with intaglio.quantize"
        )
