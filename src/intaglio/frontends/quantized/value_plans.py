"""What is known about the values of a graph while its Plan is pieced together."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.quantized.formats import format_of
from intaglio.graph import Graph
from intaglio.number import PerTensor, QuantParams
from intaglio.ops import Contract, Role, contract_of
from intaglio.plan import Source, ValuePlan


class Known:
    """The plans of computed values, by value; names are settled at the end, as values may be renamed on the way.

    Args:
        graph: the network.
    Attributes:
        contracts: of every node.
        plans: of the values that have one so far.
        origin: the value that a plan refers to: shared with, or fused into.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.contracts: dict[ir.Node, Contract] = {}
        self.plans: dict[ir.Value, ValuePlan] = {}
        self.origin: dict[ir.Value, ir.Value] = {}

    def __contains__(self, value: ir.Value | None) -> bool:
        return value in self.plans

    def find_contracts(self) -> None:
        """Ask every node for its contract.

        Raises:
            UnsupportedOperatorError: listing every operator that Intaglio does not have.
        """
        problems = []
        for node in self.graph.nodes:
            try:
                self.contracts[node] = contract_of(node)
            except UnsupportedOperatorError as error:
                problems.append(str(error))
        if problems:
            raise UnsupportedOperatorError("\n".join(problems))

    def add(
        self,
        value: ir.Value,
        source: Source,
        why: str,
        params: QuantParams | None = None,
        of: ir.Value | None = None,
    ) -> None:
        """Plan a value, or plan it anew.

        Raises:
            ModelError: parameters per channel, which computed values do not have in integers.
        """
        if params is not None and not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"value '{value.name}': expected one scale for a computed value, got {params.scale.size}; quantize "
                "activations per tensor"
            )
        fmt = None if params is None else format_of(params)
        self.plans[value] = ValuePlan(str(value.name), Role.ACTIVATION, source, why, fmt, (), None, params)
        self.origin.pop(value, None)
        if of is not None:
            self.origin[value] = of

    def source(self, value: ir.Value | None) -> Source | None:
        """Where a value's parameters come from, None where that is not known yet."""
        plan = self.plans.get(value) if value is not None else None
        return None if plan is None else plan.source

    def params(self, value: ir.Value | None) -> QuantParams | None:
        """The parameters that a value has so far, through sharing."""
        while value is not None and self.source(value) is Source.SHARED:
            value = self.origin[value]
        plan = self.plans.get(value) if value is not None else None
        return None if plan is None else plan.params

    def leads_to(self, value: ir.Value, other: ir.Value) -> bool:
        """Whether sharing with `value` would come back to `other`."""
        while self.source(value) is Source.SHARED:
            value = self.origin[value]
            if value is other:
                return True
        return False

    def hand_over(self, old: ir.Value, new: ir.Value) -> None:
        """Let another value have a value's plan, and be what others refer to."""
        self.plans[new] = self.plans.pop(old)
        if old in self.origin:
            self.origin[new] = self.origin.pop(old)
        for value, of in self.origin.items():
            if of is old:
                self.origin[value] = new
