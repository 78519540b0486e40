"""From a Program's nodes to the steps that run: a kernel call for one node, or for several that are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.kernels.kernel import Call, Tensor, bind
from intaglio.program import Node, Program

VIEWS = {"reshape"}  # their output is their input's memory


@dataclass(frozen=True)
class Step:
    """One call.

    Args:
        nodes: the Program's nodes that it runs, in order.
        inputs: tensors that it reads, in the order of the call's arguments.
        output: the tensor that it writes.
        call: the kernel.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    output: str
    call: Call

    @property
    def name(self) -> str:
        """The nodes' names."""
        return " + ".join(node.name for node in self.nodes)

    @property
    def kind(self) -> str:
        """The nodes' operators."""
        return " + ".join(node.operator.kind for node in self.nodes)


def tensor(program: Program, name: str) -> Tensor:
    """Shape and type of one of the Program's tensors."""
    info = program.tensors[name]
    return Tensor(info.shape, info.type)


def view_roots(program: Program) -> dict[str, str]:
    """For every tensor that is a view of another: the tensor whose memory it is."""
    roots: dict[str, str] = {}
    for node in program.nodes:
        if node.operator.kind in VIEWS:
            source = node.inputs[0]
            roots[node.output] = roots.get(source, source)
    return roots


def plan_steps(program: Program, isas: Sequence[str]) -> list[Step]:
    """The steps of a Program, views left out, in its order."""
    roots = view_roots(program)
    steps = []
    for node in program.nodes:
        if node.operator.kind in VIEWS:
            continue
        operands = [tensor(program, name) for name in node.inputs]
        call = bind(node.operator, operands, tensor(program, node.output), isas)
        steps.append(Step((node,), tuple(roots.get(name, name) for name in node.inputs), node.output, call))
    return steps
