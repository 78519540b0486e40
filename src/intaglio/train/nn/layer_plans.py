"""The Plan of a network of quantized layers: what each layer says of its result and its weights."""

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
"""The target of a Plan whose formats are those of a network's own layers."""

Grid = tuple[Format, QuantParams]
_TWIN = re.compile(r"__\d+$")  # what `split_shared_constants` adds to a name


def plan_of_layers(
    graph: Graph, marks: Mapping[ir.Value, int], grids: Sequence[Grid], weights: Mapping[str, Grid]
) -> Plan:
    """The Plan of a network whose marks were taken out.

    Args:
        graph: in normal form.
        marks: see `strip_marks`.
        grids: of the quantizers that these refer to.
        weights: the grids of parameters by name.
    Raises:
        UnsupportedOperatorError: operators that Intaglio does not have; all are listed.
        ModelError: values without a format; all are listed.
    """
    plan = PlanBuilder(graph, contracts_of(graph))
    for value, index in marks.items():
        plan.own(value, "in the format that its layer was given; its grid was learned in training", *grids[index])
    problems = [
        f"input '{value.name}': let the network begin with an Input layer"
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
    """Plan what follows from a node's inputs; False where nothing does."""
    if plan.indices(node, value) or plan.fuse(value):
        return True
    source = plan.kept_input(node)
    if source is None or plan.source(source) is Source.FUSED:
        return False
    if source in plan:  # otherwise the problem is told of the source
        plan.share(value, source, f"{node.op_type} keeps the integers of {source.name}")
    return True


def _plan_constants(plan: PlanBuilder, node: ir.Node, weights: Mapping[str, Grid]) -> list[str]:
    """Add a node's weights and biases; returns those that have no grid."""
    problems = []
    for value, role in plan.constants(node):
        grid = weights.get(_TWIN.sub("", str(value.name)))
        if role is Role.BIAS:
            plan.bias(node, value)
        elif role is Role.WEIGHT and grid is not None:
            why = f"weight of {node.name}, in the format that its layer was given; its grid was learned in training"
            plan.own(value, why, *_along(grid, plan.contract(node).weight_axis), role=role)
        else:
            problems.append(f"{where(node)} constant '{value.name}'")
    return problems


def _along(grid: Grid, axis: int | None) -> Grid:
    """A weight's grid with its channels along the axis on which the operator has them."""
    format, params = grid
    if axis is None or not isinstance(params.granularity, PerChannel) or params.granularity.axis == axis:
        return grid
    along = PerChannel(axis)
    return (
        Format(format.type, format.scheme, along),
        QuantParams(params.type, params.scale, params.zero_point, along),
    )
