"""Find functions of one quantized value, their integer operators, and the error of their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import LoweringError
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.graph.edit import with_constants
from intaglio.number import QuantParams
from intaglio.ops import float_operator, may_be_unary, unary_operator
from intaglio.plan.plan import Plan
from intaglio.plan.plan_records import Source, TableError
from intaglio.plan.results import planned_result
from intaglio.program import Operator
from intaglio.program.operators.lut import Lut


@dataclass(frozen=True, eq=False)
class Unary:
    """A node that may be a function of one quantized value.

    Args:
        node: of the Graph, not fused.
        source: the value that it reads.
        result: the value that it writes, after the activations fused into it.
    """

    node: ir.Node
    source: str
    result: str

    @property
    def axis(self) -> int | None:
        """The channel axis, if each channel has its own function; None for one function."""
        return float_operator(self.node).unary_axis(self.node)

    def operator(
        self, plan: Plan, x: QuantParams, y: QuantParams, constants: Mapping[str, NDArray[Any]] | None = None
    ) -> Operator | None:
        """Make the integer operator between these grids; None if the node is not such a function or cannot be lowered.

        In the second case, lowering reports the reason later.

        Args:
            plan: how values are represented.
            x, y: parameters of input and result.
            constants: by name, instead of the Graph's.
        """
        node = self.node if not constants else with_constants(self.node, constants)
        try:
            return unary_operator(node, x, planned_result(plan, self.node, params=y), plan.rule)
        except LoweringError:
            return None


def unaries(graph: Graph, plan: Plan) -> Iterator[Unary]:
    """List the nodes with one computed input and one result that have grids, without fused ones."""
    fused = {name for operator in plan.operators.values() for name in operator.fused}
    nodes = {str(node.name): node for node in graph.nodes}
    for node in graph.nodes:
        computed = [str(v.name) for v in node.inputs if v is not None and constant(v) is None]
        if not may_be_unary(node) or str(node.name) in fused or len(computed) != 1 or len(node.outputs) != 1:
            continue
        after = plan.operators[str(node.name)].fused
        result = str((nodes[after[-1]] if after else node).outputs[0].name)
        if plan[result].source in (Source.OWN, Source.SHARED, Source.FIXED) and plan[computed[0]].format is not None:
            yield Unary(node, computed[0], result)


def note_tables(graph: Graph, plan: Plan) -> None:
    """Write into a calibrated Plan how far each table is from the exact function, over every code of its input."""
    for operator in plan.operators.values():
        operator.table = None
    for unary in unaries(graph, plan):
        x, y = plan.params(unary.source), plan.params(unary.result)
        made = None if x is None or y is None else unary.operator(plan, x, y)
        if x is not None and y is not None and isinstance(made, Lut):
            result = planned_result(plan, unary.node)
            kind = x.type
            codes = np.array([-1, 1]) if kind.bipolar else np.arange(kind.qmin, kind.qmax + 1)
            with np.errstate(all="ignore"):  # infinite results saturate
                at = (codes - int(x.zero_point)).astype(np.float64) * float(x.scale)
                real = float_operator(unary.node).exactly(unary.node, at)
                real = real / float(y.scale)
            exact = np.clip(real + float(y.zero_point), result.low, result.high)
            off = made.integer(codes.astype(kind.dtype)) - exact
            error = TableError(made.table.shape[-1], float(np.abs(off).max()), float(np.sqrt(np.square(off).mean())))
            plan.operators[str(unary.node.name)].table = error
