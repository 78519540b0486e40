"""Count what a Program's operators compute and move: multiply-accumulates, sums of zero points, accumulators, bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.number import Requantize
from intaglio.program.weighted import Weighted
from intaglio.report.facts import OperatorCost

if TYPE_CHECKING:
    from intaglio.program import Node, Program
    from intaglio.program.operator import Operator


def operator_costs(program: Program) -> list[OperatorCost]:
    """Return the cost of every operator of a Program."""
    costs = []
    for node in program.nodes:
        op = node.operator
        macs = op.macs(*(program.tensors[name].shape for name in node.inputs))
        weight, weight_zero_point = getattr(op, "weight", None), getattr(op, "weight_zero_point", None)
        asymmetric = weight is not None and weight_zero_point is not None and bool(weight_zero_point.any())
        out = program.tensors[node.output]
        bound = op.accumulator_bound(
            tuple(tuple(program.tensors[name].shape) for name in node.inputs),
            tuple(program.tensors[name].type for name in node.inputs),
        )
        requantize = getattr(op, "requantize", None)
        limit = requantize.limit if isinstance(requantize, Requantize) else 1 << 31
        computed = [program.tensors[name] for name in (*node.inputs, node.output) if name not in program.constants]
        parameters = [*_arrays(op), *(program.constants[name] for name in node.inputs if name in program.constants)]
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
                accumulator_bits=bound.bit_length() + 1 if bound else 0,
                accumulator=0 if not bound else 32 if limit <= 1 << 31 else 64,
                operand_bits=_operand_bits(program, node, op) if macs else (),
                moved=sum(math.prod(t.shape) * t.type.dtype.itemsize for t in computed),
                elements=sum(math.prod(t.shape) for t in computed),
                parameters=sum(array.nbytes for array in parameters),
                parameter_elements=sum(array.size for array in parameters),
            )
        )
    return costs


def _operand_bits(program: Program, node: Node, op: Operator) -> tuple[int, int]:
    """Return the bits of both factors as they are stored: at least 8."""
    types = [program.tensors[name].type for name in node.inputs]
    first = 8 * types[0].dtype.itemsize
    if isinstance(op, Weighted):
        return first, 8 * op.weight.dtype.itemsize
    return first, 8 * types[-1].dtype.itemsize


def _arrays(op: Operator) -> Iterator[NDArray[Any]]:
    """Yield the arrays that belong to an operator: weights, biases, tables."""
    for field in fields(op):
        value = getattr(op, field.name)
        if isinstance(value, np.ndarray):
            yield value


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
