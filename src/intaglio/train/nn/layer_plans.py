"""An exported network to Graph and Plan: the marks go, and what they say becomes the representation of values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.graph import Graph
from intaglio.graph.access import constant, consumers, is_output, where
from intaglio.graph.edit import insert, remove, remove_unread, replace
from intaglio.number import PerChannel, QuantParams, Rule
from intaglio.ops import Contract, Joined, Plain, Role, Same, contract_of
from intaglio.plan import Format, OperatorPlan, Plan, Source, ValuePlan

TARGET = "as-trained"
"""The target of a Plan whose formats are those of a network's own layers."""

Grid = tuple[Format, QuantParams]
_TWIN = re.compile(r"__\d+$")  # what `split_shared_constants` adds to a name


def strip_marks(graph: Graph) -> dict[ir.Value, int]:
    """Take the pairs of QuantizeLinear and DequantizeLinear out of a Graph, in place.

    A value that is rounded a second time becomes a Clip without bounds, which has a grid of its own.

    Returns:
        The place of the quantizer of each value that was marked.
    Raises:
        ModelError: a value that is read before it is rounded.
        UnsupportedOperatorError: an operator that Intaglio does not have.
    """
    inner = graph.model.graph
    marks: dict[ir.Value, int] = {}
    for node in graph.nodes:
        index = _index(node)
        if index is None:
            continue
        source, result = node.inputs[0], consumers(node.outputs[0])[0].outputs[0]
        assert source is not None
        origin = _origin(source)
        if origin not in marks and any(_index(use.node) != index for use in source.uses()):
            raise ModelError(
                f"value '{source.name}': expected one quantizer to round it for all that read it, got more readers "
                "before it; round it once, and use that result (Requantize for another format)"
            )
        if marks.get(origin) != index:
            if origin in marks:
                origin = source = insert(inner, node, "Clip", [source], name=f"{source.name}.requantized").outputs[0]
            marks[origin] = index
        if result.is_graph_output() and (source.is_graph_input() or source.is_graph_output()):
            source = insert(inner, node, "Clip", [source], name=f"{source.name}.copy").outputs[0]
            marks[source] = index
        _replace(inner, result, source)
        pair = result.producer()
        assert pair is not None
        remove(inner, pair, node)
    remove_unread(inner)
    inner.sort()
    return marks


def _index(node: ir.Node) -> int | None:
    """Which quantizer a mark stands for; None for other nodes."""
    if node.op_type != "QuantizeLinear":
        return None
    scale = constant(node.inputs[1])
    assert scale is not None
    return round(float(scale)) - 1


def _origin(value: ir.Value) -> ir.Value:
    """Where the numbers of a value are computed, of which nobody reads more than those that come to be this value."""
    while (node := value.producer()) is not None and len(node.outputs) == 1:
        output = contract_of(node).output
        source = node.inputs[output.index] if isinstance(output, Same) and not output.rounds else None
        if source is None or len(source.uses()) != 1 or source.is_graph_output():
            break
        value = source
    return value


def _replace(graph: ir.Graph, rounded: ir.Value, value: ir.Value) -> None:
    """Let readers of a rounded value read the value, which keeps its name."""
    name = value.name
    if rounded.is_graph_output():
        replace(graph, rounded, value)
        value.name = name
    else:
        rounded.replace_all_uses_with(value)


def represent(graph: Graph, marks: Mapping[ir.Value, int], grids: Sequence[Grid], weights: Mapping[str, Grid]) -> Plan:
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
    return _Representation(graph, marks, grids, weights).run()


class _Representation:
    def __init__(
        self, graph: Graph, marks: Mapping[ir.Value, int], grids: Sequence[Grid], weights: Mapping[str, Grid]
    ) -> None:
        self.graph, self.marks, self.grids, self.weights = graph, marks, grids, weights
        self.plan = Plan(TARGET, Rule.HALF_UP, accumulator=64)
        self.contracts = _contracts(graph)
        self.problems: list[str] = []

    def run(self) -> Plan:
        for value in self.graph.inputs:
            if value in self.marks:
                self._own(value)
            else:
                self.problems.append(f"input '{value.name}': let the network begin with an Input layer")
        for node in self.graph.nodes:
            contract, fused = self.contracts[node], self._fused(node)
            why = f"saturation does the work of {', '.join(fused)}" if fused else ""
            self.plan.operators[str(node.name)] = OperatorPlan(str(node.name), node.op_type, True, why, fused)
            self._constants(node, contract)
            for value in node.outputs:
                if value.name:
                    self._output(node, contract, value)
        if self.problems:
            raise ModelError(
                f"{self.graph.name}: expected a format for every value, got {len(self.problems)} values without a "
                "format:\n" + "\n".join(f"  - {problem}" for problem in self.problems) + "\ncompute with the layers of "
                "intaglio.train.nn (Conv2d, Linear, Add, Mul, Concat, GlobalAvgPool, ...)"
            )
        return self.plan

    def _fused(self, node: ir.Node) -> tuple[str, ...]:
        """Names of the clamps, or of the sign, that are a node's saturation."""
        names: list[str] = []
        value = node.outputs[0]
        while self._is_fused(value):
            clamp = consumers(value)[0]
            names.append(str(clamp.name))
            value = clamp.outputs[0]
        return tuple(names)

    def _is_fused(self, value: ir.Value) -> bool:
        """Whether a value lives in the accumulator until the clamp or sign that alone reads it."""
        node, users = value.producer(), consumers(value)
        if node is None or value in self.marks or len(users) != 1 or is_output(value) or len(node.outputs) != 1:
            return False
        contract, after = self.contracts[node], self.contracts[users[0]]
        if after.sign:
            return contract.fuses_sign and self._is_one_bit(users[0].outputs[0])
        if after.clamp is None:
            return False
        if contract.clamp is None:
            return contract.fuses_clamp
        source = node.inputs[0]
        return source is not None and self._is_fused(source)

    def _is_one_bit(self, value: ir.Value) -> bool:
        return value in self.marks and self.grids[self.marks[value]][0].type.bipolar

    def _output(self, node: ir.Node, contract: Contract, value: ir.Value) -> None:
        name = str(value.name)
        if value in self.marks:
            self._own(value)
        elif isinstance(contract.output, Plain):
            self._add(name, Source.PLAIN, f"{node.op_type} gives indices, not quantized numbers")
        elif self._is_fused(value):
            clamp = consumers(value)[0]
            why = f"stays in the accumulator: {clamp.op_type} is the saturation of {node.op_type}"
            self._add(name, Source.FUSED, why, of=(str(clamp.outputs[0].name),))
        elif isinstance(contract.output, Same):
            self._keeps(node, name, node.inputs[contract.output.index])
        elif contract.clamp is not None:
            self._keeps(node, name, node.inputs[0])
        elif isinstance(contract.output, Joined) and self._on_one_grid(node):
            self._keeps(node, name, next(v for v in node.inputs if v is not None and not v.is_initializer()))
        else:
            self.problems.append(f"{where(node)} '{name}'")

    def _keeps(self, node: ir.Node, name: str, source: ir.Value | None) -> None:
        assert source is not None
        planned = self.plan.values.get(str(source.name))
        if planned is None or planned.source is Source.FUSED:
            if planned is not None:
                self.problems.append(f"{where(node)} '{name}'")
            return  # without a format already, and told
        kind = Source.PLAIN if planned.source is Source.PLAIN else Source.SHARED
        of = () if kind is Source.PLAIN else (str(source.name),)
        self._add(name, kind, f"{node.op_type} keeps the integers of {source.name}", of=of)

    def _on_one_grid(self, node: ir.Node) -> bool:
        """Whether everything that is put together lies on the same grid already."""
        parts = [self.plan.values.get(str(v.name)) for v in node.inputs if v is not None]
        known = [None if p is None else self.plan.params(p.name) for p in parts]
        return all(params is not None and params == known[0] for params in known)

    def _own(self, value: ir.Value) -> None:
        format, params = self.grids[self.marks[value]]
        why = "in the format that its layer was given; its grid was learned in training"
        self._add(str(value.name), Source.OWN, why, format=format, params=params)

    def _constants(self, node: ir.Node, contract: Contract) -> None:
        data = next((str(v.name) for v in node.inputs if v is not None and not v.is_initializer()), "")
        weight = ""
        for value, role in zip(node.inputs, contract.roles, strict=False):
            if value is None or not value.is_initializer() or role in (Role.ACTIVATION, Role.OFFLINE):
                continue
            name = str(value.name)
            if role is Role.BIAS:
                why = f"bias of {node.name}: int32 on the accumulator's own grid, scale_x * scale_w"
                self._add(name, Source.DERIVED, why, role=role, of=(data, weight))
                continue
            grid = self.weights.get(_TWIN.sub("", name)) if role is Role.WEIGHT else None
            if grid is None:
                self.problems.append(f"{where(node)} constant '{name}'")
                continue
            weight = name
            format, params = _along(grid, contract.weight_axis)
            why = f"weight of {node.name}, in the format that its layer was given; its grid was learned in training"
            self._add(name, Source.OWN, why, role=role, format=format, params=params)

    def _add(
        self,
        name: str,
        source: Source,
        why: str,
        *,
        role: Role = Role.ACTIVATION,
        format: Format | None = None,
        params: QuantParams | None = None,
        of: tuple[str, ...] = (),
    ) -> None:
        if source is Source.SHARED:
            format = self.plan.root(of[0]).format
        self.plan.values[name] = ValuePlan(name, role, source, why, format, of, None, params)


def _contracts(graph: Graph) -> dict[ir.Node, Contract]:
    contracts, problems = {}, []
    for node in graph.nodes:
        try:
            contracts[node] = contract_of(node)
        except UnsupportedOperatorError as error:
            problems.append(str(error))
    if problems:
        raise UnsupportedOperatorError("\n".join(problems))
    return contracts


def _along(grid: Grid, axis: int | None) -> Grid:
    """A weight's grid with its channels along the axis on which the operator has them."""
    format, params = grid
    if axis is None or not isinstance(params.granularity, PerChannel) or params.granularity.axis == axis:
        return grid
    along = PerChannel(axis)
    return (
        Format(format.type, format.scheme, along),
        QuantParams(params.type, params.scale, np.asarray(params.zero_point), along),
    )
