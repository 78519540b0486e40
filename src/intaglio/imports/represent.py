"""From what a file says about some values to a Plan that says how every value is represented.

Values without parameters of their own lie between an operator and the activation that is its saturation, or beside
an operator that only moves integers. What is left after that is a float island, and an error.
"""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.graph import consumers, is_output
from intaglio.graph.access import where
from intaglio.imports.bounds import distinguished, static_range
from intaglio.imports.constants import Constants
from intaglio.imports.formats import FILE, TARGET, format_of
from intaglio.imports.strip import Stripped, requantization
from intaglio.number import INT16, PerTensor, QuantParams, Rule, Scheme, choose_params
from intaglio.ops import Contract, Joined, Plain, Role, Same, float_operator
from intaglio.plan import OperatorPlan, Plan, Source, ValuePlan


def represent(stripped: Stripped) -> Plan:
    """The Plan of a graph without its QuantizeLinear nodes; may add a requantization to the graph.

    Raises:
        UnsupportedOperatorError: operators that Intaglio does not have; all are listed.
        ModelError: values that the file leaves float; all are listed.
    """
    return _Represent(stripped).run()


class _Represent:
    def __init__(self, stripped: Stripped) -> None:
        self.stripped = stripped
        self.graph = stripped.graph
        self.file = stripped.params
        self.notes = stripped.notes
        self.plan = Plan(TARGET, Rule.HALF_UP, accumulator=64)
        self.contracts: dict[ir.Node, Contract] = {}
        self.known: dict[ir.Value, ValuePlan] = {}

    def run(self) -> Plan:
        self._find_contracts()
        for value, params in self.file.items():
            self._know(value, Source.OWN, FILE, params)
        while self._spread():
            pass
        self._fill()
        self._refuse_islands()
        for node in self.graph.nodes:
            self._bridge(node)
        self._find_contracts()
        constants = Constants(self.stripped, self.plan, self._params)
        for node in self.graph.nodes:
            constants.add(node, self.contracts[node])
        self._collect()
        return self.plan

    def _find_contracts(self) -> None:
        problems = []
        for node in self.graph.nodes:
            if node in self.contracts:
                continue
            try:
                self.contracts[node] = float_operator(node).contract(node)
            except UnsupportedOperatorError as error:
                problems.append(str(error))
        if problems:
            raise UnsupportedOperatorError("\n".join(problems))

    def _know(
        self, value: ir.Value, source: Source, why: str, params: QuantParams | None = None, of: ir.Value | None = None
    ) -> None:
        fmt = None if params is None else format_of(params)
        names = () if of is None else (str(of.name),)
        self.known[value] = ValuePlan(str(value.name), Role.ACTIVATION, source, why, fmt, names, None, params)
        if params is not None and not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"value '{value.name}': expected one scale for a computed value, got {params.scale.size}; quantize "
                "activations per tensor"
            )

    def _params(self, value: ir.Value | None) -> QuantParams | None:
        """The parameters that a value has so far, through sharing."""
        found = self.known.get(value) if value is not None else None
        if found is None:
            return None
        if found.source is not Source.SHARED:
            return found.params
        return self._params(self.graph.value(found.of[0]))

    # Values between

    def _spread(self) -> bool:
        """Give parameters, or a reason to have none, to the neighbours of what is known. Whether anything was found."""
        before = len(self.known)
        nodes = self.graph.nodes
        for node in reversed(nodes):
            for value in node.inputs:
                if value is not None and value not in self.known and not value.is_initializer():
                    self._from_reader(value)
        for node in nodes:
            for value in node.outputs:
                if value.name and value not in self.known:
                    self._from_inputs(node, value)
        return len(self.known) > before

    def _from_reader(self, value: ir.Value) -> None:
        """What the only reader of a value makes of it."""
        users = consumers(value)
        if len(users) != 1 or len(list(value.uses())) != 1 or is_output(value):
            return
        reader, contract = users[0], self.contracts[users[0]]
        result = reader.outputs[0]
        if contract.clamp is not None and value is reader.inputs[0] and self._can_saturate(value):
            why = f"stays in the accumulator: {reader.op_type} is the saturation of the operator before it"
            self._know(value, Source.FUSED, why, of=result)
            return
        plan = self.known.get(result)
        moves = isinstance(contract.output, (Same, Joined)) or contract.clamp is not None
        if plan is None or not moves or plan.source in (Source.FUSED, Source.PLAIN) or len(reader.outputs) != 1:
            return
        if isinstance(contract.output, Same) and reader.inputs[contract.output.index] is not value:
            return
        if self._leads_to(result, value):
            return
        self._know(
            value, Source.SHARED, f"only {reader.name} reads it, which keeps the integers of its input", of=result
        )

    def _can_saturate(self, value: ir.Value) -> bool:
        """Whether the operator that computes a value can take a clamp behind it as its saturation."""
        producer = value.producer()
        if producer is None or len(producer.outputs) != 1:
            return False
        contract = self.contracts[producer]
        if contract.clamp is None:
            return contract.fuses_clamp
        before = self.known.get(producer.inputs[0])  # type: ignore[arg-type]
        return before is not None and before.source is Source.FUSED

    def _leads_to(self, value: ir.Value, other: ir.Value) -> bool:
        """Whether sharing with `value` would come back to `other`."""
        plan = self.known.get(value)
        while plan is not None and plan.source is Source.SHARED:
            if plan.of[0] == other.name:
                return True
            plan = self.known.get(self.graph.value(plan.of[0]))
        return False

    def _from_inputs(self, node: ir.Node, value: ir.Value) -> None:
        """What a node makes of inputs whose representation is known."""
        contract = self.contracts[node]
        if isinstance(contract.output, Plain):
            self._know(value, Source.PLAIN, f"{node.op_type} gives indices, not quantized numbers")
            return
        if isinstance(contract.output, Joined):
            given = [v for v in node.inputs if v is not None and not v.is_initializer()]
            grids = [self._params(v) for v in given]
            if all(g is not None and g == grids[0] for g in grids):
                self._know(value, Source.SHARED, f"{node.op_type} of values on one grid", of=given[0])
            return
        if contract.clamp is not None:
            source = node.inputs[0]
        elif isinstance(contract.output, Same):
            source = node.inputs[contract.output.index]
        else:
            return
        plan = self.known.get(source) if source is not None else None
        if plan is None or source is None or plan.source is Source.FUSED:
            return
        if plan.source is Source.PLAIN:
            self._know(value, Source.PLAIN, plan.why)
        else:
            why = f"{node.op_type} keeps the integers of {source.name}; the file gives it no parameters of its own"
            self._know(value, Source.SHARED, why, of=source)

    # What the file leaves float

    def _fill(self) -> None:
        """Hold what is still float in 16 bits, over the range that the integers before it allow."""
        for node in self.graph.nodes:
            for value in node.outputs:
                if not value.name or value in self.known:
                    continue
                bounds = self._bounds(node, value)
                if bounds is None:
                    continue
                low, high = bounds
                params = choose_params(low, high, INT16, Scheme.SYMMETRIC)
                why = f"float in the file: 16 bits over [{low:.4g}, {high:.4g}], the most that {node.op_type} can give"
                self._know(value, Source.FIXED, why, params)
                self.notes.append(f"{where(node)} its result '{value.name}' is float in the file: held in 16 bits")
                while self._spread():
                    pass

    def _bounds(self, node: ir.Node, value: ir.Value) -> tuple[float, float] | None:
        given: list[tuple[float, float] | None] = []
        for source in node.inputs:
            params = self._params(source)
            given.append(None if params is None else (float(params.range[0]), float(params.range[1])))
        bounds = static_range(node, given)
        users = consumers(value)
        after = self._params(users[0].outputs[0]) if len(users) == 1 and not is_output(value) else None
        return bounds if bounds is None or after is None else distinguished(users[0], bounds, after)

    def _refuse_islands(self) -> None:
        problems = [
            f"input '{value.name}' has no QuantizeLinear behind it"
            for value in self.graph.inputs
            if value not in self.known
        ]
        for node in self.graph.nodes:
            problems += [
                f"{where(node)} its result '{value.name}' has no QuantizeLinear behind it"
                for value in node.outputs
                if value.name and value not in self.known
            ]
            for value, role in zip(node.inputs, self.contracts[node].roles, strict=False):
                if value is not None and role is Role.WEIGHT and value not in self.stripped.constants:
                    problems.append(f"{where(node)} its weight '{value.name}' is not quantized")
        if problems:
            raise ModelError(
                f"{self.graph.name}: expected every value to be quantized, got {len(problems)} that stay float:\n"
                + "\n".join(f"  - {problem}" for problem in problems)
                + "\nquantize these operators too, or start from the float network with intaglio.quantize"
            )

    # Moves between grids

    def _bridge(self, node: ir.Node) -> None:
        """Let an operator that moves integers write the grid that it reads; requantize where the file has another."""
        contract = self.contracts[node]
        if not isinstance(contract.output, Same):
            return
        source = node.inputs[contract.output.index]
        assert source is not None
        given = self._params(source)
        for value in node.outputs:
            plan = self.known.get(value)
            wanted = self._params(value)
            if plan is None or wanted is None or given is None:
                continue
            if wanted != given:
                self._requantize(node, source, value, plan)
            elif plan.source is Source.OWN and not self._leads_to(source, value):
                why = f"{FILE}, and as {node.op_type} has it: the parameters of {source.name}"
                self._know(value, Source.SHARED, why, of=source)

    def _requantize(self, node: ir.Node, source: ir.Value, value: ir.Value, plan: ValuePlan) -> None:
        inner, name = self.graph.model.graph, str(value.name)
        params = self._params(value)
        assert params is not None
        users, was_output = list(value.uses()), is_output(value)
        copy = requantization(inner, node, value, params, f"{name}.moved")
        clip = copy.producer()
        assert clip is not None
        inner.remove(clip)
        inner.insert_after(node, clip)
        for use in users:
            use.node.replace_input_with(use.idx, copy)
        for index, output in enumerate(inner.outputs):
            if was_output and output is value:
                inner.outputs[index] = copy
        value.name, copy.name = str(copy.name), name
        del self.known[value]
        self.known[copy] = plan
        self.contracts[clip] = float_operator(clip).contract(clip)
        self._know(value, Source.SHARED, f"{node.op_type} keeps the parameters of {source.name}", of=source)
        self.notes.append(f"{where(node)} moves integers to another grid in the file: requantized behind it")

    # The Plan

    def _collect(self) -> None:
        for value in (*self.graph.inputs, *(v for node in self.graph.nodes for v in node.outputs if v.name)):
            plan = self.known[value]
            plan.name = str(value.name)
            self.plan.values[plan.name] = plan
        for plan in self.plan.values.values():
            if plan.source is Source.SHARED:
                plan.format = self.plan.root(plan.name).format
        for node in self.graph.nodes:
            fused = self._fused(node)
            why = f"saturation does the work of {', '.join(fused)}" if fused else ""
            self.plan.operators[str(node.name)] = OperatorPlan(str(node.name), node.op_type, True, why, fused)

    def _fused(self, node: ir.Node) -> tuple[str, ...]:
        """Names of the clamps that are this node's saturation."""
        names: list[str] = []
        value = node.outputs[0]
        while self.known[value].source is Source.FUSED:
            after = consumers(value)[0]
            names.append(str(after.name))
            value = after.outputs[0]
        return tuple(names)
