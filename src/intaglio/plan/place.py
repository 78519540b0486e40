"""Placement: contracts and target decide how each value is represented, and say why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output, shape
from intaglio.number import PerTensor, QuantParams, Scheme
from intaglio.ops import Contract, Fixed, Joined, Own, Plain, Role, Same
from intaglio.plan.contracts import contracts_of
from intaglio.plan.layers import LayerFormats
from intaglio.plan.plan import Format, OperatorPlan, Plan, Source, ValuePlan
from intaglio.plan.separate_operands import Operands
from intaglio.targets import Target, TensorFormat

SCORING = ("ArgMax", "ArgMin", "LogSoftmax", "Softmax")
"""Operators that turn a network's scores into its answer."""


def place(
    graph: Graph,
    target: Target,
    *,
    layers: Mapping[str, str] | None = None,
    calibrator: str | None = None,
    weight_calibrator: str | None = None,
) -> Plan:
    """Decide how each value is represented; parameters come later, by calibration.

    Args:
        graph: in normal form.
        target: the hardware.
        layers: other formats for some layers: node-name pattern (`features.1*`), `first` or `last` -> format
            (`w8a16`, `a16`, `w4`).
        calibrator, weight_calibrator: instead of the target's own.
    Raises:
        UnsupportedOperatorError: an operator that Intaglio or the target does not have; every one is listed.
        TargetError: a format that the target does not have, or a pattern that names no layer.
    """
    contracts = contracts_of(graph, target)
    formats = LayerFormats(graph, contracts, target, layers or {})
    operands = Operands(contracts, formats)
    return _Placement(graph, target, contracts, formats, operands, calibrator, weight_calibrator).run()


@dataclass
class _Placement:
    graph: Graph
    target: Target
    contracts: dict[str, Contract]
    layers: LayerFormats
    operands: Operands
    calibrator: str | None
    weight_calibrator: str | None

    def run(self) -> Plan:
        self.plan = Plan(self.target.name, self.target.rule, self.target.accumulator)
        for value in self.graph.inputs:
            fmt = self.layers.input_format(value)
            self._own(value, fmt, "input of the network; its range is that of the calibration data")
        for node in self.graph.nodes:
            self._operator(node)
            self._constants(node)
            for output in node.outputs:
                if output.name:
                    self._output(node, output)
        for node in self.graph.nodes:
            if isinstance(self.contracts[str(node.name)].output, Joined):
                self._join(node)
        return self.plan

    def _operator(self, node: ir.Node) -> None:
        fused = []
        last = node
        while (after := self._fused_clamp(last)) is not None:
            fused.append(str(after.name))
            last = after
        why = f"saturation does the work of {', '.join(fused)}" if fused else ""
        self.plan.operators[str(node.name)] = OperatorPlan(str(node.name), node.op_type, True, why, tuple(fused))

    def _fused_clamp(self, node: ir.Node) -> ir.Node | None:
        """The clamp, or the sign in one bit, behind a node that can be its saturation."""
        contract = self.contracts[str(node.name)]
        if not (contract.fuses_clamp or contract.clamp or contract.fuses_sign) or len(node.outputs) != 1:
            return None
        if self._in_one_bit(node):
            return None
        if contract.clamp and not self._is_fused(node):
            return None  # a clamp that stands alone swallows no further one: the passes merge such pairs
        value = node.outputs[0]
        users = consumers(value)
        if len(users) != 1 or is_output(value):
            return None
        if contract.fuses_sign and self._in_one_bit(users[0]):
            return users[0]
        return users[0] if self.contracts[str(users[0].name)].clamp is not None else None

    def _in_one_bit(self, node: ir.Node) -> bool:
        """Whether a node is a sign that the target has in one bit."""
        return self.contracts[str(node.name)].sign and self.layers.activation_format(node).type.bipolar

    def _is_fused(self, node: ir.Node) -> bool:
        producer = node.inputs[0].producer() if node.inputs[0] is not None else None
        return producer is not None and self._fused_clamp(producer) is node

    def _output(self, node: ir.Node, value: ir.Value) -> None:
        name, rule = str(value.name), self.contracts[str(node.name)].output
        after = self._fused_clamp(node)
        if after is not None:
            result = str(after.outputs[0].name)
            why = f"stays in the accumulator: {after.op_type} is the saturation of {node.op_type}"
            self._add(ValuePlan(name, Role.ACTIVATION, Source.FUSED, why, of=(result,)))
            return
        row = self.target.row(node.op_type)
        if row.output == "same":
            rule = Same(0)
        if self.contracts[str(node.name)].masks:
            readers = tuple(str(user.outputs[0].name) for user in consumers(value))
            self._add(ValuePlan(name, Role.ACTIVATION, Source.FUSED, self.contracts[str(node.name)].why, of=readers))
            return
        fmt, note = self._format(node, value)
        if self._in_one_bit(node):
            params = QuantParams(fmt.type, np.ones((), np.float32))
            self._fixed(node, value, fmt, params, "is -1 or +1: one bit, and 0 becomes +1")
            return
        match rule:
            case Same(index):
                source = node.inputs[index]
                assert source is not None
                self._shared(
                    name,
                    str(source.name),
                    f"{node.op_type} moves integers, so it keeps the parameters of {source.name}{self._remark(node)}",
                )
            case Plain():
                self._add(
                    ValuePlan(
                        name, Role.ACTIVATION, Source.PLAIN, f"{node.op_type} gives indices, not quantized numbers"
                    )
                )
            case Fixed() | Own() | Joined() if row.scale is not None:
                fmt = self.layers.activation_format(node)  # which the target's numbers are for, not `final`
                params = QuantParams(fmt.type, row.scale, row.zero_point)  # type: ignore[arg-type]
                low, high = (float(bound) for bound in params.range)
                why = f"has a fixed output on target {self.target.name}, [{low:g}, {high:g}] whatever the data"
                self._fixed(node, value, fmt, params, why)
            case Fixed(low, high):
                self._fixed(
                    node, value, fmt, fixed_params(rule, fmt), f"lies in [{low:g}, {high:g}) whatever the data{note}"
                )
            case Own() | Joined():
                if self._is_fused(node):
                    why = f"range after {node.op_type}, the saturation of the operator before: no quantizer in between"
                elif self.contracts[str(node.name)].clamp == (-math.inf, math.inf):
                    why = "a grid of its own for what others read on another one; its range is measured"
                else:
                    why = f"{node.op_type} computes new values; their range is measured"
                self._own(value, fmt, why + note + self._remark(node))

    def _remark(self, node: ir.Node) -> str:
        """What the contract adds to a reason."""
        why = self.contracts[str(node.name)].why
        return f"; {why}" if why else ""

    def _own(self, value: ir.Value, fmt: TensorFormat, why: str) -> None:
        calibrator = self.calibrator or fmt.calibrator
        self._add(
            ValuePlan(
                str(value.name),
                Role.ACTIVATION,
                Source.OWN,
                why,
                Format(fmt.type, fmt.scheme, PerTensor()),
                calibrator=calibrator,
            )
        )

    def _shared(self, name: str, source: str, why: str) -> None:
        if self.plan.root(source).source is Source.PLAIN:
            self._add(ValuePlan(name, Role.ACTIVATION, Source.PLAIN, why))
        else:
            self._add(ValuePlan(name, Role.ACTIVATION, Source.SHARED, why, self.plan.root(source).format, of=(source,)))

    def _format(self, node: ir.Node, value: ir.Value) -> tuple[TensorFormat, str]:
        """Format of what a node computes, and what to add to the reason."""
        final = self.target.final
        if final is None or self.layers.asked(node) or self._in_one_bit(node) or not self._is_final(value):
            fmt = self.operands.written(value)
            narrow = fmt != self.layers.activation_format(node)
            return fmt, f"; {fmt.type}, as only products read it" if narrow else ""
        return final, f"; {final.type}, as no product reads these scores and small steps keep close classes apart"

    def _is_final(self, value: ir.Value) -> bool:
        """Whether a value is a vector of scores per sample that leaves the network, or only its last softmax reads."""
        if sum(size > 1 for size in shape(value)[1:]) > 1:
            return False
        users = consumers(value)
        return (
            (is_output(value) or bool(users))
            and all(
                user.op_type in SCORING or isinstance(self.contracts[str(user.name)].output, Same) for user in users
            )
            and all(self._is_final(output) for user in users for output in user.outputs if output.name)
        )

    def _fixed(self, node: ir.Node, value: ir.Value, fmt: TensorFormat, params: QuantParams, why: str) -> None:
        name, made = str(value.name), Format(fmt.type, fmt.scheme)
        self._add(ValuePlan(name, Role.ACTIVATION, Source.FIXED, f"{node.op_type} {why}", made, params=params))

    def _constants(self, node: ir.Node) -> None:
        contract = self.contracts[str(node.name)]
        for value, role in zip(node.inputs, contract.roles, strict=False):
            if value is None or role in (Role.ACTIVATION, Role.OFFLINE):
                continue
            name = str(value.name)
            if role is Role.WEIGHT:
                fmt = self.layers.weight_format(node)
                made = Format(fmt.type, fmt.scheme, fmt.granularity(contract.weight_axis))
                calibrator = self.weight_calibrator or fmt.calibrator
                per = (
                    "one scale per output channel"
                    if fmt.per == "channel" and contract.weight_axis is not None
                    else f"one scale per {fmt.per}"
                )
                self._add(
                    ValuePlan(name, role, Source.OWN, f"weight of {node.name}: {per}", made, calibrator=calibrator)
                )
            elif role is Role.SIDE:
                fmt = self.layers.activation_format(node)
                why = f"constant operand of {node.name}; its range is known"
                self._add(ValuePlan(name, role, Source.OWN, why, Format(fmt.type, fmt.scheme), calibrator="max"))
            else:
                weight = next(
                    str(v.name)
                    for v, r in zip(node.inputs, contract.roles, strict=False)
                    if r is Role.WEIGHT and v is not None
                )
                data = str(node.inputs[0].name) if node.inputs[0] is not None else ""
                why = f"bias of {node.name}: int32 on the accumulator's own grid, scale_x * scale_w"
                self._add(ValuePlan(name, role, Source.DERIVED, why, of=(data, weight)))

    def _join(self, node: ir.Node) -> None:
        """Let what is concatenated be written with the result's parameters, where nobody else reads it."""
        output = str(node.outputs[0].name)
        for value in node.inputs:
            if value is None or str(value.name) not in self.plan.values:
                continue  # bounds and the like, which lowering turns into codes
            plan = self.plan[str(value.name)]
            same_type = plan.format is not None and plan.format == self.plan[output].format
            if plan.source is Source.OWN and plan.role is Role.ACTIVATION and same_type and not is_output(value):
                if len(consumers(value)) == 1 and value.producer() is not None:
                    plan.source, plan.of, plan.calibrator = Source.SHARED, (output,), None
                    plan.why = f"only {node.name} reads it: written on the grid of {output}, so nothing is requantized"
                else:
                    plan.why += f"; requantized for {node.name}, as others read it too"

    def _add(self, value: ValuePlan) -> None:
        self.plan.values[value.name] = value


def fixed_params(rule: Fixed, fmt: TensorFormat) -> QuantParams:
    """Parameters of a value in [low, high): a whole number of steps, the usual ones of 1/256 and 1/128 for 8 bits."""
    kind = fmt.type
    if fmt.scheme is Scheme.ASYMMETRIC:
        scale = (rule.high - rule.low) / 2.0**kind.bits
        zero_point = min(round(kind.qmin - rule.low / scale), kind.qmax)  # a range that ends at 0 loses its first step
    else:
        scale = max(abs(rule.low), abs(rule.high)) / 2.0 ** (kind.bits - kind.signed)
        zero_point = 0
    return QuantParams(kind, scale, zero_point)  # type: ignore[arg-type]
