"""From what a file says about some values to a Plan that says how every value is represented.

Values without parameters of their own lie between an operator and the activation that is its saturation, or beside
an operator that only moves integers. What is left after that is a float island, and an error.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.graph import Graph, constant, consumers, is_output, shape
from intaglio.graph.access import where
from intaglio.imports.bounds import static_range
from intaglio.imports.strip import Stripped, requantization
from intaglio.number import INT16, INT32, PerChannel, PerTensor, QuantParams, Rule, Scheme, choose_params
from intaglio.ops import Contract, Fixed, Joined, Plain, Role, Same, float_operator
from intaglio.plan import Format, OperatorPlan, Plan, Source, ValuePlan

FILE = "as the file says"
TARGET = "as-the-file-says"


def represent(stripped: Stripped) -> Plan:
    """The Plan of a graph without its QuantizeLinear nodes; may add a requantization to the graph.

    Raises:
        UnsupportedOperatorError: operators that Intaglio does not have; all are listed.
        ModelError: values that the file leaves float; all are listed.
    """
    return _Represent(stripped).run()


class _Represent:
    def __init__(self, stripped: Stripped) -> None:
        self.graph: Graph = stripped.graph
        self.file = stripped.params
        self.constants = stripped.constants
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
        self._tail()
        self._refuse_islands()
        for node in self.graph.nodes:
            self._bridge(node)
        self._find_contracts()
        self._constants()
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

    def _know(self, value: ir.Value, source: Source, why: str, params: QuantParams | None = None, *of: ir.Value) -> None:
        self.known[value] = ValuePlan(
            str(value.name), Role.ACTIVATION, source, why, params and _format(params), tuple(str(v.name) for v in of), None, params
        )
        if params is not None and not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"value '{value.name}': expected one scale for a computed value, got {params.scale.size}; quantize "
                "activations per tensor"
            )

    def _params(self, value: ir.Value | None) -> QuantParams | None:
        """The parameters that a value has so far, through sharing."""
        found = self.known.get(value) if value is not None else None
        if found is None or found.source is not Source.SHARED:
            return found and found.params
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
            self._know(value, Source.FUSED, why, None, result)
            return
        plan = self.known.get(result)
        moves = isinstance(contract.output, (Same, Joined)) or contract.clamp is not None
        if plan is None or not moves or plan.source in (Source.FUSED, Source.PLAIN) or len(reader.outputs) != 1:
            return
        if isinstance(contract.output, Same) and reader.inputs[contract.output.index] is not value:
            return
        if self._leads_to(result, value):
            return
        self._know(value, Source.SHARED, f"only {reader.name} reads it, which keeps the integers of its input", None, result)

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
                self._know(value, Source.SHARED, f"{node.op_type} of values on one grid", None, given[0])
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
            self._know(value, Source.SHARED, why, None, source)

    # The end of the network

    def _tail(self) -> None:
        """Values behind the last quantized one: 16 bits over the range that they can have at all."""
        ends = self._behind_everything()
        for node in self.graph.nodes:
            for value in node.outputs:
                if not value.name or value in self.known or value not in ends:
                    continue
                bounds = self._bounds(node)
                if bounds is None:
                    continue
                params = choose_params(*bounds, INT16, Scheme.SYMMETRIC)
                why = f"the file leaves the end of the network float: 16 bits over [{bounds[0]:.4g}, {bounds[1]:.4g}], all that {node.op_type} can give"
                self._know(value, Source.FIXED, why, params)
                self.notes.append(f"'{value.name}' is float in the file: held in 16 bits over its whole possible range")
                while self._spread():
                    pass

    def _behind_everything(self) -> set[ir.Value]:
        """Values on which nothing that the file quantizes depends."""
        found: set[ir.Value] = set()
        for node in reversed(self.graph.nodes):
            for value in node.outputs:
                users = consumers(value)
                if value not in self.file and all(output in found for user in users for output in user.outputs):
                    found.add(value)
        return found

    def _bounds(self, node: ir.Node) -> tuple[float, float] | None:
        contract = self.contracts[node]
        if isinstance(contract.output, Fixed):
            return contract.output.low, contract.output.high
        ranges = [None if (p := self._params(v)) is None else tuple(float(end) for end in p.range) for v in node.inputs]
        return static_range(node, ranges)  # type: ignore[arg-type]

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
                if value is not None and role is Role.WEIGHT and value not in self.constants:
                    problems.append(f"{where(node)} its weight '{value.name}' is not quantized")
        if problems:
            raise ModelError(
                f"{self.graph.name}: expected every value to be quantized, got {len(problems)} that stay float:\n"
                + "\n".join(f"  - {problem}" for problem in problems)
                + "\nquantize these operators too, or start from the float network with intaglio.quantize"
            )

    # Moves between grids

    def _bridge(self, node: ir.Node) -> None:
        """An operator that moves integers writes the grid that it reads; where the file wants another, a requantization."""
        contract = self.contracts[node]
        if not isinstance(contract.output, Same):
            return
        source = node.inputs[contract.output.index]
        given = self._params(source)
        for value in node.outputs:
            plan = self.known.get(value)
            wanted = self._params(value)
            if plan is None or wanted is None or given is None:
                continue
            if wanted == given:
                if plan.source is Source.OWN:
                    why = f"{FILE}, and as {node.op_type} has it: the parameters of {source.name}"  # type: ignore[union-attr]
                    if not self._leads_to(source, value):  # type: ignore[arg-type]
                        self._know(value, Source.SHARED, why, None, source)  # type: ignore[arg-type]
                continue
            self._requantize(node, source, value, plan)  # type: ignore[arg-type]

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
        self._know(value, Source.SHARED, f"{node.op_type} keeps the parameters of {source.name}", None, source)
        self.notes.append(f"{where(node)} moves integers to another grid in the file: requantized behind it")

    # Constants

    def _constants(self) -> None:
        for node in self.graph.nodes:
            roles = self.contracts[node].roles
            for value, role in zip(node.inputs, roles, strict=False):
                if value is None or not value.is_initializer() or role in (Role.ACTIVATION, Role.OFFLINE):
                    continue
                if role is Role.WEIGHT:
                    self._weight(node, value)
                elif role is Role.SIDE:
                    self._side(node, value)
                else:
                    self._bias(node, value)

    def _weight(self, node: ir.Node, value: ir.Value) -> None:
        params, axis = self.constants[value], self.contracts[node].weight_axis
        granularity = params.granularity
        if isinstance(granularity, PerChannel) and granularity.axis % len(shape(value)) != axis:
            raise ModelError(
                f"{where(node)} weight '{value.name}': expected scales per output channel (axis {axis}), got them along axis "
                f"{granularity.axis}; quantize the weight per output channel or per tensor"
            )
        if isinstance(granularity, PerChannel):
            params = QuantParams(params.type, params.scale, params.zero_point, PerChannel(granularity.axis % len(shape(value))))
        self._add(value, Role.WEIGHT, Source.OWN, f"weight of {node.name}: {FILE}", params)

    def _side(self, node: ir.Node, value: ir.Value) -> None:
        params, why = self.constants.get(value), f"constant operand of {node.name}: {FILE}"
        if params is None:
            array = constant(value)
            assert array is not None
            params = choose_params(float(array.min()), float(array.max()), INT16, Scheme.SYMMETRIC)
            why = f"constant operand of {node.name}, float in the file: 16 bits"
            self.notes.append(f"{where(node)} its constant '{value.name}' is float in the file: held in 16 bits")
        if not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"{where(node)} constant '{value.name}': expected one scale, got {params.scale.size}; quantize constant "
                "operands per tensor"
            )
        self._add(value, Role.SIDE, Source.OWN, why, params)

    def _bias(self, node: ir.Node, value: ir.Value) -> None:
        """On the accumulator's grid, whatever the file has: the same one up to rounding, another, or float."""
        data, weight = node.inputs[0], node.inputs[1]
        assert data is not None
        assert weight is not None
        x, w, given = self._params(data), self.constants[weight], self.constants.get(value)
        assert x is not None
        scale = np.asarray(w.scale, np.float64).reshape(-1) * float(x.scale)
        per_tensor = isinstance(w.granularity, PerTensor)
        if not per_tensor:
            size = int(np.prod(shape(value)))
            scale = np.tile(scale, max(1, size // scale.size))
        granularity = PerTensor() if per_tensor else PerChannel(-1)
        params = QuantParams(INT32, np.float32(scale[0]) if per_tensor else scale.astype(np.float32), granularity=granularity)
        why = f"bias of {node.name}: int32 on the accumulator's grid, scale_x * scale_w"
        if given is None:
            why += "; float in the file"
        elif given.type == INT32 and given.scale.size in (1, params.scale.size) and np.allclose(given.scale, params.scale, rtol=1e-5, atol=0):
            params = QuantParams(INT32, np.broadcast_to(given.scale, params.scale.shape), granularity=granularity)
            why += f", {FILE}"
        else:
            why += f"; {given.type} on another grid in the file"
        self._add(value, Role.BIAS, Source.DERIVED, why, params, str(data.name), str(weight.name))

    def _add(self, value: ir.Value, role: Role, source: Source, why: str, params: QuantParams, *of: str) -> None:
        name = str(value.name)
        fmt = None if role is Role.BIAS else _format(params)
        self.plan.values[name] = ValuePlan(name, role, source, why, fmt, of, None, params)

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


def _format(params: QuantParams) -> Format:
    if not params.symmetric or not params.type.signed:
        return Format(params.type, Scheme.ASYMMETRIC, params.granularity)
    powers = np.log2(params.scale)
    scheme = Scheme.POWER_OF_TWO if np.array_equal(powers, np.rint(powers)) else Scheme.SYMMETRIC
    return Format(params.type, scheme, params.granularity)
