"""Build the Plan of a network of quantized layers from the formats and grids of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph import Graph
from intaglio.graph.access import where
from intaglio.number import PerChannel, QuantParams, Rule
from intaglio.ops import Role
from intaglio.plan import Format, Plan, PlanBuilder, Source
from intaglio.plan.contracts import contracts_of

TARGET = "as-trained"
"""The target name of a Plan whose formats come from the network's own layers."""

Grid = tuple[Format, QuantParams]
_COPY_SUFFIX = re.compile(r"__\d+$")  # suffix that `split_shared_constants` appends to names


def plan_of_layers(
    graph: Graph, marks: Mapping[ir.Value, int], grids: Sequence[Grid], weights: Mapping[str, Grid]
) -> Plan:
    """Build the Plan of a network after `strip_marks`.

    Args:
        graph: in normal form.
        marks: value -> index into `grids` (see `strip_marks`).
        grids: the format and grid of each quantizer.
        weights: the format and grid of each parameter, by name.
    Raises:
        UnsupportedOperatorError: operators that Intaglio does not support; all are listed.
        ModelError: values without a format; all are listed.
    """
    plan = PlanBuilder(graph, contracts_of(graph))
    for value, index in marks.items():
        plan.own(value, "in the format that the user gave its layer; training learned its grid", *grids[index])
    problems = [
        f"input '{value.name}': let the network start with an Input layer"
        for value in graph.inputs
        if value not in plan
    ]
    for node in graph.nodes:
        problems += _plan_constants(plan, node, weights)
        for value in node.outputs:
            if value.name and value not in plan and not _follows(plan, node, value):
                problems.append(f"{where(node)} '{value.name}'")
    if problems:
        raise ModelError(
            f"{graph.name}: expected a format for every value, got {len(problems)} values without a "
            "format:\n" + "\n".join(f"  - {problem}" for problem in problems) + "\ncompute with the layers of "
            "intaglio.train.nn (Conv2d, Linear, Add, Mul, Concat, GlobalAvgPool, ...)"
        )
    return plan.finish(TARGET, Rule.HALF_UP, accumulator=64)


def _follows(plan: PlanBuilder, node: ir.Node, value: ir.Value) -> bool:
    """Plan a value whose representation follows from its node's inputs; False if it does not."""
    if plan.indices(node, value) or plan.fuse(value):
        return True
    source = plan.kept_input(node)
    if source is None or plan.source(source) is Source.FUSED:
        return False
    if source in plan:  # otherwise the source itself is reported
        plan.share(value, source, f"{node.op_type} keeps the integers of {source.name}")
    return True


def _plan_constants(plan: PlanBuilder, node: ir.Node, weights: Mapping[str, Grid]) -> list[str]:
    """Plan a node's weights and biases; return a problem for each constant without a grid."""
    problems = []
    for value, role in plan.constants(node):
        grid = weights.get(_COPY_SUFFIX.sub("", str(value.name)))
        if role is Role.BIAS:
            plan.bias(node, value)
        elif role is Role.WEIGHT and grid is not None:
            why = f"weight of {node.name}, in the format that the user gave its layer; training learned its grid"
            plan.own(value, why, *_along(grid, plan.contract(node).weight_axis), role=role)
        else:
            problems.append(f"{where(node)} constant '{value.name}'")
    return problems


def _along(grid: Grid, axis: int | None) -> Grid:
    """Return a weight's grid with its per-channel axis set to the operator's channel axis."""
    format, params = grid
    if axis is None or not isinstance(params.granularity, PerChannel) or params.granularity.axis == axis:
        return grid
    along = PerChannel(axis)
    return (
        Format(format.type, format.scheme, along),
        QuantParams(params.type, params.scale, params.zero_point, along),
    )
