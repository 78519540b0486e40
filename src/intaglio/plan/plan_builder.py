"""Build the Plan of a Graph, value by value.

Placement, the reader of quantized files and the converter of quantized layers decide by different rules how a value is
represented. All of them record their decisions here: which values share a grid, which are fused, a bias's grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output
from intaglio.number import QuantParams, Rule
from intaglio.ops import Contract, Joined, Plain, Role, Same, contract_of
from intaglio.plan.plan import Plan
from intaglio.plan.plan_records import Format, OperatorPlan, Source, ValuePlan


class PlanBuilder:
    """The plans of values so far, keyed by value and not by name, because a front end may rename values meanwhile.

    Args:
        graph: the network. Nodes and values may be added until `finish`.
        contracts: of its nodes (see `contracts_of`).
    """

    def __init__(self, graph: Graph, contracts: Mapping[ir.Node, Contract]) -> None:
        self.graph = graph
        self._contracts = dict(contracts)
        self._plans: dict[ir.Value, ValuePlan] = {}
        self._of: dict[ir.Value, tuple[ir.Value, ...]] = {}

    # Queries

    def __contains__(self, value: ir.Value | None) -> bool:
        return value in self._plans

    def __getitem__(self, value: ir.Value) -> ValuePlan:
        return self._plans[value]

    def __len__(self) -> int:
        return len(self._plans)

    def contract(self, node: ir.Node) -> Contract:
        """Get the contract of a node, also of one added since."""
        if node not in self._contracts:
            self._contracts[node] = contract_of(node)
        return self._contracts[node]

    def source(self, value: ir.Value | None) -> Source | None:
        """Look up where a value's parameters come from; None where that is not known yet."""
        plan = self._plans.get(value) if value is not None else None
        return None if plan is None else plan.source

    def params(self, value: ir.Value | None) -> QuantParams | None:
        """Get the parameters that a value has so far, through sharing."""
        return None if value is None or value not in self else self._root(value).params

    def _root(self, value: ir.Value) -> ValuePlan:
        while self.source(value) is Source.SHARED:
            (value,) = self._of[value]
        return self._plans[value]

    def leads_to(self, value: ir.Value, other: ir.Value) -> bool:
        """Tell whether sharing with `value` would lead back to `other`."""
        while self.source(value) is Source.SHARED:
            (value,) = self._of[value]
            if value is other:
                return True
        return False

    def constants(self, node: ir.Node) -> Iterator[tuple[ir.Value, Role]]:
        """List the constants of a node that are quantized, with their roles."""
        for value, role in zip(node.inputs, self.contract(node).roles, strict=False):
            if value is not None and value.is_initializer() and role in (Role.WEIGHT, Role.BIAS, Role.SIDE):
                yield value, role

    # Consequences of contracts

    def saturation(self, value: ir.Value) -> ir.Node | None:
        """Find the clamp, or the sign in one bit, that alone reads a value and can be its operator's saturation."""
        node, users = value.producer(), consumers(value)
        if node is None or len(node.outputs) != 1 or len(users) != 1 or is_output(value):
            return None
        contract, after = self.contract(node), self.contract(users[0])
        if after.sign:
            can = contract.fuses_sign and self._in_one_bit(users[0])
        elif after.clamp is None or (contract.sign and self._in_one_bit(node)):
            can = False
        elif contract.clamp is None:
            can = contract.fuses_clamp
        else:  # a clamp that stands alone takes no further one: the passes merge such pairs
            can = self.source(node.inputs[0]) is Source.FUSED
        return users[0] if can else None

    def _in_one_bit(self, sign: ir.Node) -> bool:
        plan = self._plans.get(sign.outputs[0])
        return plan is not None and plan.format is not None and plan.format.type.bipolar

    def kept_input(self, node: ir.Node) -> ir.Value | None:
        """Find the input whose integers and grid a node's results keep; None if the node computes new numbers.

        A concatenation keeps the integers of its inputs if all of them already have the same grid.
        """
        contract = self.contract(node)
        match contract.output:
            case Same(index):
                return node.inputs[index]
            case Joined():
                given = [v for v in node.inputs if v is not None and not v.is_initializer()]
                grids = [self.params(v) for v in given]
                return given[0] if all(grid is not None and grid == grids[0] for grid in grids) else None
        return None if contract.clamp is None else node.inputs[0]

    # Decisions

    def own(
        self,
        value: ir.Value,
        why: str,
        format: Format,
        params: QuantParams | None = None,
        *,
        calibrator: str | None = None,
        role: Role = Role.ACTIVATION,
    ) -> None:
        """Plan a grid of its own, known already or found by a calibrator."""
        self._add(value, ValuePlan("", role, Source.OWN, why, format, (), calibrator, params))

    def fixed(self, value: ir.Value, why: str, format: Format, params: QuantParams) -> None:
        """Plan a grid that does not depend on data."""
        self._add(value, ValuePlan("", Role.ACTIVATION, Source.FIXED, why, format, params=params))

    def share(self, value: ir.Value, source: ir.Value, why: str) -> None:
        """Plan the grid of another value; plain integers stay plain."""
        root = self._root(source)
        if root.source is Source.PLAIN:
            self._add(value, ValuePlan("", Role.ACTIVATION, Source.PLAIN, why))
        else:
            self._add(value, ValuePlan("", Role.ACTIVATION, Source.SHARED, why, root.format), source)

    def indices(self, node: ir.Node, value: ir.Value) -> bool:
        """Plan the indices that a node finds, as plain integers; False where its results are numbers."""
        if isinstance(self.contract(node).output, Plain):
            self.plain(value, f"{node.op_type} gives indices, not quantized numbers")
            return True
        return False

    def plain(self, value: ir.Value, why: str) -> None:
        """Plan integers that stand for themselves."""
        self._add(value, ValuePlan("", Role.ACTIVATION, Source.PLAIN, why))

    def fuse(self, value: ir.Value) -> bool:
        """Leave a value in the accumulator where it has a `saturation`; False where it has none."""
        node, after = value.producer(), self.saturation(value)
        if node is None or after is None:
            return False
        why = f"stays in the accumulator: {after.op_type} is the saturation of {node.op_type}"
        self._add(value, ValuePlan("", Role.ACTIVATION, Source.FUSED, why), after.outputs[0])
        return True

    def mask(self, value: ir.Value, readers: Sequence[ir.Node], why: str) -> None:
        """Plan an attention mask without a representation: it only selects positions for the softmaxes that read it."""
        plan = ValuePlan("", Role.ACTIVATION, Source.FUSED, why)
        self._add(value, plan, *(reader.outputs[0] for reader in readers))

    def bias(self, node: ir.Node, value: ir.Value, params: QuantParams | None = None, note: str = "") -> None:
        """Plan a bias on the grid of the sums that it is added to; `note` is added to the reason."""
        roles = zip(node.inputs, self.contract(node).roles, strict=False)
        weight = next(v for v, role in roles if v is not None and role is Role.WEIGHT)
        data = node.inputs[0]
        assert data is not None
        why = f"bias of {node.name}: int32 on the accumulator's own grid, scale_x * scale_w{note}"
        self._add(value, ValuePlan("", Role.BIAS, Source.DERIVED, why, params=params), data, weight)

    def hand_over(self, old: ir.Value, new: ir.Value) -> None:
        """Move the plan of one value to another, and redirect references to it."""
        self._plans[new], self._of[new] = self._plans.pop(old), self._of.pop(old)
        for value, others in self._of.items():
            self._of[value] = tuple(new if other is old else other for other in others)

    def _add(self, value: ir.Value, plan: ValuePlan, *of: ir.Value) -> None:
        self._plans[value], self._of[value] = plan, of

    def finish(self, target: str, rule: Rule, accumulator: int) -> Plan:
        """Make the Plan, with the names that values and nodes have now, in the order of the network.

        Args:
            target: name of the target.
            rule: the rounding rule.
            accumulator: bits of the accumulator.
        """
        plan = Plan(target, rule, accumulator)
        nodes = self.graph.nodes
        for value in (*self.graph.inputs, *(v for node in nodes for v in (*node.inputs, *node.outputs))):
            if value is None or value not in self:
                continue
            made, name = self._plans[value], str(value.name)
            made.name, made.of = name, tuple(str(other.name) for other in self._of[value])
            if made.source is Source.SHARED:
                made.format = self._root(value).format
            plan.values[name] = made
        for node in nodes:
            fused = self._fused(node)
            why = f"saturation does the work of {', '.join(fused)}" if fused else ""
            plan.operators[str(node.name)] = OperatorPlan(str(node.name), node.op_type, True, why, fused)
        return plan

    def _fused(self, node: ir.Node) -> tuple[str, ...]:
        """List the names of the clamps, or of the sign, that are a node's saturation."""
        names: list[str] = []
        value = node.outputs[0]
        while not self.contract(node).masks and self.source(value) is Source.FUSED:
            after = consumers(value)[0]
            names.append(str(after.name))
            value = after.outputs[0]
        return tuple(names)
