"""Count multiply-accumulates of a Program's operators, and the additions that zero points cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intaglio.program.weighted import Weighted
from intaglio.report.facts import OperatorCost

if TYPE_CHECKING:
    from intaglio.program import Program


def operator_costs(program: Program) -> list[OperatorCost]:
    """Return the cost of every operator of a Program."""
    costs = []
    for node in program.nodes:
        op = node.operator
        macs = op.macs(*(program.tensors[name].shape for name in node.inputs))
        weight, weight_zero_point = getattr(op, "weight", None), getattr(op, "weight_zero_point", None)
        asymmetric = weight is not None and weight_zero_point is not None and bool(weight_zero_point.any())
        out = program.tensors[node.output]
        costs.append(
            OperatorCost(
                name=node.name,
                operator=op.kind,
                output=tuple(out.shape),
                type=out.type.name,
                macs=macs,
                # z_w * sum(x): one sum of the window per output position, shared by the output channels of a group
                input_sums=macs * getattr(op, "groups", 1) // len(weight) if weight is not None and asymmetric else 0,
                offline_terms="z_x * sum(w), K * z_x * z_w" if macs and getattr(op, "x_zero_point", 0) else "",
                weights=op.weight_type.name if isinstance(op, Weighted) else "",
            )
        )
    return costs


@dataclass(frozen=True)
class Totals:
    """Cost totals of a Program.

    Args:
        macs: multiply-accumulates of one run.
        input_sums: extra additions because of weight zero points.
        folded: number of operators whose input zero point is folded into the bias.
    """

    macs: int
    input_sums: int
    folded: int


def cost_totals(costs: Sequence[OperatorCost]) -> Totals:
    """Sum the costs of all operators."""
    return Totals(
        sum(c.macs for c in costs), sum(c.input_sums for c in costs), sum(bool(c.offline_terms) for c in costs)
    )
