"""Describe a model: the job of `intaglio inspect` and `intaglio.inspect`."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from intaglio.codegen.build import plan as plan_memory
from intaglio.codegen.machine import machine as find_machine
from intaglio.codegen.native import NativeProgram
from intaglio.codegen.picture import describe_arena
from intaglio.codegen.svg import svg_picture
from intaglio.errors import ExportError, LoweringError
from intaglio.files import whole_file
from intaglio.program import Program
from intaglio.report.costs import operator_costs
from intaglio.report.energy import estimated_energy
from intaglio.workflow.inspection_tables import show_network, show_program
from intaglio.workflow.open_model import open_model

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.plan import Plan
    from intaglio.quantized import Quantized
    from intaglio.targets import Target
    from intaglio.workflow.open_model import AnyModel


class Inspection:
    """Facts about a model, as `intaglio.inspect` returns them.

    Attributes:
        facts: plain data, as `intaglio inspect --json` prints.
        blockers: reasons why operators of a network cannot run on integers; empty if all can.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.blockers: tuple[str, ...] = tuple(facts.get("blockers", ()))

    def to_json(self) -> dict[str, Any]:
        """Plain data; the same as `facts`."""
        return self.facts

    def show(self, name: str = "model", *, file: TextIO | None = None) -> None:
        """Print the tables."""
        if self.facts["kind"] == "program":
            show_program(name, self.facts, file)
        else:
            show_network(name, self.facts, file)

    def summary(self) -> str:
        """Tables of a program's operators and memory, or of a network's operators and values."""
        text = io.StringIO()
        self.show(file=text)
        return text.getvalue().rstrip()

    def draw_memory(self, path: Path) -> None:
        """Write a drawing of a program's memory over time; nothing for a network.

        Raises:
            ExportError: the file cannot be written.
        """
        if "arena" not in self.facts:
            return
        try:
            with whole_file(path) as written:
                written.write_text(svg_picture(self.facts["arena"], path.stem), encoding="utf-8")
        except OSError as error:
            raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from error

    def __repr__(self) -> str:
        facts = self.facts
        if facts["kind"] == "program":
            operators = len(facts["operators"])
            return f"Inspection(program for {facts['target']}, {operators} operators, {facts['macs']:,} MAC)"
        count, left = sum(facts["operators"].values()), len(self.blockers)
        runs = f"{left} reasons against integers" if left else "all of them integer"
        return f"Inspection({facts['kind']} for {facts['target']}, {count} operators, {runs})"


def inspect(model: AnyModel, target: str | Path | Target = "cpu-int8", machine: str = "host") -> Inspection:
    """Describe a model: a program's operators, costs and memory, or how a network is or would be quantized.

    Args:
        model: a path, or what `load`, `quantize`, `lower` or `compile` return.
        target: for a float network: the target that it would be quantized for.
        machine: for a program: the machine that its memory is planned for.
    Raises:
        ModelError, ProgramError, UsageError: the model cannot be read.
        TargetError, CompileError: no such target or machine.
    """
    opened = open_model(model)
    if isinstance(opened, NativeProgram):
        opened = opened.program
    if isinstance(opened, Program):
        return Inspection(_program(opened, machine))
    from intaglio.quantized import Quantized

    return Inspection(_quantized(opened) if isinstance(opened, Quantized) else _graph(opened, target))


def _program(program: Program, machine: str) -> dict[str, Any]:
    """Describe a program's operators and their cost: multiply-accumulates, and additions caused by zero points."""
    costs = operator_costs(program)
    operators = [cost.to_json() for cost in costs]
    arena = describe_arena(plan_memory(program, find_machine(machine)))
    return {
        "kind": "program",
        "target": program.target,
        "rule": program.rule.value,
        "batched": program.batched,
        "inputs": {name: list(program.tensors[name].shape) for name in program.inputs},
        "outputs": {name: list(program.tensors[name].shape) for name in program.outputs},
        "parameter_bytes": program.nbytes,
        "macs": sum(o["macs"] for o in operators),
        "operators": operators,
        "energy": estimated_energy(costs, arena["bytes"]).to_json(),
        "arena": arena,
    }


def _graph(graph: Graph, target: str | Path | Target) -> dict[str, Any]:
    """Describe a graph's operators, which of them the target supports, and each value's planned format and reason."""
    from intaglio.errors import UnsupportedOperatorError
    from intaglio.ops import contract_of
    from intaglio.plan import place, separate_operands
    from intaglio.targets import load_target

    blockers = []
    for node in graph.nodes:
        try:
            contract_of(node)
        except UnsupportedOperatorError as error:
            blockers.append(str(error))
    described = load_target(target)
    placed = graph if blockers else separate_operands(graph, described)
    return {
        "kind": "graph",
        "target": described.name,
        **_operators(graph, blockers),
        "history": graph.history,
        "values": [] if blockers else _values(placed, place(placed, described)),
    }


def _quantized(quantized: Quantized) -> dict[str, Any]:
    """Describe a quantized network: its operators, what cannot be integers, each value's format and reason."""
    blockers: list[str] = []
    try:
        quantized.lower()
    except LoweringError as error:
        blockers += error.blockers or (str(error),)
    return {
        "kind": "quantized network",
        "target": quantized.plan.target,
        **_operators(quantized.graph, blockers),
        "history": quantized.history,
        "values": _values(quantized.graph, quantized.plan),
    }


def _operators(graph: Graph, blockers: list[str]) -> dict[str, Any]:
    counts = dict(Counter(node.op_type for node in graph.nodes))
    return {"batched": graph.batched, "operators": counts, "blockers": blockers}


def _values(graph: Graph, plan: Plan) -> list[dict[str, str]]:
    """Describe each value: the layer that computes it, or reads it if it is a constant, its format and the reason."""
    layers = {str(value.name): "" for value in graph.inputs}
    for node in graph.nodes:
        constants = [value for value in node.inputs if value is not None and value.is_initializer()]
        layers.update({str(value.name): str(node.name) for value in (*constants, *node.outputs)})
    return [
        {
            "name": v.name,
            "layer": layers.get(v.name, ""),
            "role": v.role.value,
            "source": v.source.value,
            "format": str(v.format or ""),
            "why": v.why,
        }
        for v in plan.values.values()
    ]
