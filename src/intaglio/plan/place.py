"""Placement: decide from contracts and target how each value is represented, with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output, shape
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.graph.operators import named
from intaglio.number import INT16, QuantParams, Rule, Scheme
from intaglio.ops import Contract, Fixed, Joined, Own, Plain, Role, Same
from intaglio.plan.contracts import contracts_of
from intaglio.plan.layers import LayerFormats
from intaglio.plan.plan import Plan
from intaglio.plan.plan_builder import PlanBuilder
from intaglio.plan.plan_records import Format, Source
from intaglio.plan.separate_operands import Operands
from intaglio.targets import Target, TensorFormat

SCORING = named("squashes") - named("elementwise")
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
        layers: other formats for some layers: `first`, `last`, a name or a pattern (`features.1`, `features.*.conv`)
            -> format (`w8a16`, `a16`, `w4`, `widest`).
        calibrator, weight_calibrator: instead of the target's own.
    Raises:
        UnsupportedOperatorError: an operator that Intaglio or the target does not have; every one is listed.
        TargetError: a format that the target does not have, or a pattern that matches no layer.
    """
    contracts = contracts_of(graph, target)
    formats = LayerFormats(graph, contracts, target, layers or {})
    operands = Operands(contracts, formats)
    return _Placement(graph, target, contracts, formats, operands, calibrator, weight_calibrator).run()


@dataclass
class _Placement:
    graph: Graph
    target: Target
    contracts: dict[ir.Node, Contract]
    layers: LayerFormats
    operands: Operands
    calibrator: str | None
    weight_calibrator: str | None

    def run(self) -> Plan:
        self.plan = PlanBuilder(self.graph, self.contracts)
        for value in self.graph.inputs:
            if is_integer_input(value):
                self.plan.plain(value, f"input of the network: integers ({value.dtype}), which are not quantized")
                continue
            wide = None if self.layers.asked_input(value) else self._wide_format(value)
            fmt, note = wide or (self.layers.input_format(value), "")
            self._own(value, fmt, f"input of the network; its range is that of the calibration data{note}")
        for node in self.graph.nodes:  # first, because a sign may be the saturation of the operator before it
            if self._in_one_bit(node):
                fmt = self.layers.activation_format(node)
                params = QuantParams(fmt.type, np.ones((), np.float32))
                self._fixed(node, node.outputs[0], fmt, params, "is -1 or +1: one bit, and 0 becomes +1")
        for node in self.graph.nodes:
            self._constants(node)
            for output in node.outputs:
                if output.name and output not in self.plan:
                    self._output(node, output)
        for node in self.graph.nodes:
            if isinstance(self.contracts[node].output, Joined):
                self._join(node)
        return self.plan.finish(self.target.name, self.target.rule, self.target.accumulator)

    def _in_one_bit(self, node: ir.Node) -> bool:
        """Tell whether a node is a Sign that the target has in one bit."""
        return self.contracts[node].sign and self.layers.activation_format(node).type.bipolar

    def _output(self, node: ir.Node, value: ir.Value) -> None:
        contract, row = self.contracts[node], self.layers.row(node)
        rule = Same(0) if row.output == "same" else contract.output
        after = self.plan.saturation(value)
        apart = after is not None and not self.contracts[after].sign and self.layers.saturated(after) is None
        if not apart and self.plan.fuse(value):
            return
        if contract.masks:
            self.plan.mask(value, consumers(value), contract.why)
            return
        if node.outputs.index(value) in contract.state_outputs:
            fmt = TensorFormat(type=INT16, scheme=Scheme.POWER_OF_TWO)
            self._own(value, fmt, f"state of {node.op_type} between two steps: int16, so that rounding does not add up")
            return
        fmt, note = self._wide_format(value) or self._format(node, value)
        match rule:
            case Same(index):
                source = self.layers.first_saturated(node).inputs[index]
                assert source is not None
                why = f"{node.op_type} moves integers, so it keeps the parameters of {source.name}{self._remark(node)}"
                self.plan.share(value, source, why)
            case Plain():
                self.plan.indices(node, value)
            case Fixed() | Own() | Joined() if row.scale is not None:
                fmt = self.layers.activation_format(node)  # the target's scale is for this format, not for `final`
                params = QuantParams(fmt.type, row.scale, row.zero_point)  # type: ignore[arg-type]
                low, high = (float(bound) for bound in params.range)
                why = f"has a fixed output on target {self.target.name}, [{low:g}, {high:g}] whatever the data"
                self._fixed(node, value, fmt, params, why)
            case Fixed(low, high):
                self._fixed(
                    node, value, fmt, fixed_params(rule, fmt), f"lies in [{low:g}, {high:g}) whatever the data{note}"
                )
            case Own() | Joined():
                if contract.clamp is not None and self.plan.source(node.inputs[0]) is Source.FUSED:
                    why = f"range after {node.op_type}, the saturation of the operator before: no quantizer in between"
                elif contract.clamp == (-math.inf, math.inf):
                    why = "a separate grid for readers that need another one; its range is measured"
                else:
                    why = f"{node.op_type} computes new values; their range is measured"
                self._own(value, fmt, why + note + self._remark(node))

    def _remark(self, node: ir.Node) -> str:
        """Write what the contract adds to a reason."""
        why = self.contracts[node].why
        return f"; {why}" if why else ""

    def _own(self, value: ir.Value, fmt: TensorFormat, why: str) -> None:
        self.plan.own(value, why, Format(fmt.type, fmt.scheme), calibrator=self.calibrator or fmt.calibrator)

    def _fixed(self, node: ir.Node, value: ir.Value, fmt: TensorFormat, params: QuantParams, why: str) -> None:
        self.plan.fixed(value, f"{node.op_type} {why}", Format(fmt.type, fmt.scheme), params)

    def _format(self, node: ir.Node, value: ir.Value) -> tuple[TensorFormat, str]:
        """Choose the format of a node's result, and write what it adds to the reason."""
        final = self.target.final
        if final is None or self.layers.asked(node) or not self._is_final(value):
            fmt = self.operands.written(value)
            narrow = fmt != self.layers.activation_format(node)
            return fmt, f"; {fmt.type}, as only products read it" if narrow else ""
        return final, f"; {final.type}, as no product reads these scores and small steps keep close classes apart"

    def _wide_format(self, value: ir.Value) -> tuple[TensorFormat, str] | None:
        """Choose 16 bits for a value that only operators read that need it so, maybe after it was moved."""
        producer = value.producer()
        if producer is not None and (self.layers.asked(producer) or isinstance(self.contracts[producer].output, Same)):
            return None
        if not self._is_wide(value):
            return None
        shifts = self.target.rule is Rule.SHIFT
        fmt = TensorFormat(type=INT16, scheme=Scheme.POWER_OF_TWO if shifts else Scheme.SYMMETRIC)
        return fmt, "; int16, as a loop over time adds to it or goes on with it"

    def _is_wide(self, value: ir.Value) -> bool:
        found = [self._reads_wide(use.node, use.idx) for use in value.uses()]
        return bool(found) and all(found) and not is_output(value)

    def _reads_wide(self, node: ir.Node, index: int) -> bool:
        contract = self.contracts[node]
        moves = isinstance(contract.output, Same) and not contract.output.rounds and index == contract.output.index
        return index in contract.wide_inputs or (moves and all(self._is_wide(output) for output in node.outputs))

    def _is_final(self, value: ir.Value) -> bool:
        """Tell whether a value is a vector of scores per sample: an output, or read by the last softmax only."""
        if sum(size > 1 for size in shape(value)[1:]) > 1:
            return False
        users = consumers(value)
        return (
            (is_output(value) or bool(users))
            and all(user.op_type in SCORING or isinstance(self.contracts[user].output, Same) for user in users)
            and all(self._is_final(output) for user in users for output in user.outputs if output.name)
        )

    def _constants(self, node: ir.Node) -> None:
        axis = self.contracts[node].weight_axis
        for value, role in self.plan.constants(node):
            match role:
                case Role.WEIGHT:
                    fmt = self.layers.weight_format(node)
                    made = Format(fmt.type, fmt.scheme, fmt.granularity(axis))
                    per_channel = fmt.per == "channel" and axis is not None
                    per = "one scale per output channel" if per_channel else f"one scale per {fmt.per}"
                    calibrator = self.weight_calibrator or fmt.calibrator
                    self.plan.own(value, f"weight of {node.name}: {per}", made, calibrator=calibrator, role=role)
                case Role.SIDE:
                    fmt = self.layers.activation_format(node)
                    why = f"constant operand of {node.name}; its range is known"
                    self.plan.own(value, why, Format(fmt.type, fmt.scheme), calibrator="max", role=role)
                case Role.BIAS:
                    self.plan.bias(node, value)

    def _join(self, node: ir.Node) -> None:
        """Let the inputs of a concatenation share the result's parameters if nothing else reads them."""
        output = node.outputs[0]
        for value in node.inputs:
            if value is None or value not in self.plan:
                continue  # bounds and other parameters, which lowering turns into codes
            plan = self.plan[value]
            same_type = plan.format is not None and plan.format == self.plan[output].format
            if plan.source is Source.OWN and plan.role is Role.ACTIVATION and same_type and not is_output(value):
                if len(consumers(value)) == 1 and value.producer() is not None:
                    why = f"only {node.name} reads it: written on the grid of {output.name}, so nothing is requantized"
                    self.plan.share(value, output, why)
                else:
                    plan.why += f"; requantized for {node.name}, as others read it too"


def fixed_params(rule: Fixed, fmt: TensorFormat) -> QuantParams:
    """Choose the parameters of a value in [low, high): a whole number of steps, as usual 1/256 or 1/128 for 8 bits."""
    kind = fmt.type
    if fmt.scheme is Scheme.ASYMMETRIC:
        scale = (rule.high - rule.low) / 2.0**kind.bits
        zero_point = min(round(kind.qmin - rule.low / scale), kind.qmax)  # a range that ends at 0 loses its first step
    else:
        scale = max(abs(rule.low), abs(rule.high)) / 2.0 ** (kind.bits - kind.signed)
        zero_point = 0
    return QuantParams(kind, scale, zero_point)  # type: ignore[arg-type]
