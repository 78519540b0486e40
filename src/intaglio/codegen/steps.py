"""Convert a Program's nodes to steps: one kernel call for a node, or for several fused nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from intaglio.codegen.fuse import find_chains
from intaglio.kernels.kernel import Call, Tensor, bind
from intaglio.program import Node, Program


@dataclass(frozen=True)
class ProgramStep:
    """One kernel call.

    Args:
        nodes: nodes that it runs, in order.
        inputs: tensors that it reads, in the order of the call's arguments.
        output: tensor that it writes.
        call: the kernel call.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    output: str
    call: Call

    @property
    def name(self) -> str:
        """Names of the nodes."""
        return " + ".join(node.name for node in self.nodes)

    @property
    def kind(self) -> str:
        """Operators of the nodes."""
        return " + ".join(node.operator.kind for node in self.nodes)


def tensor(program: Program, name: str) -> Tensor:
    """Return shape and type of a tensor of the Program."""
    info = program.tensors[name]
    return Tensor(info.shape, info.type)


def plan_steps(
    program: Program,
    views: Collection[str],
    isas: Sequence[str],
    whole: Collection[str] = (),
    *,
    baremetal: bool = False,
) -> list[ProgramStep]:
    """Plan the steps of a Program, in its order.

    Args:
        program: the Program.
        views: names of nodes that need no step.
        isas: instruction sets, best first.
        whole: tensors that have their own memory without views in it; only these may lie between fused nodes.
        baremetal: whether the machine has little memory and one thread.
    """
    steps = []
    tensors = {name: tensor(program, name) for name in program.tensors}
    chains = find_chains(program, tensors, whole, isas, baremetal=baremetal)
    fused = {node.name for nodes, _, _ in chains.values() for node in nodes}
    for node in program.nodes:
        if node.name in chains:
            nodes, inputs, call = chains[node.name]
            steps.append(ProgramStep(nodes, inputs, node.output, call))
        if node.name in views or node.name in fused:
            continue
        operands = [tensor(program, name) for name in node.inputs]
        call = bind(node.operator, operands, tensor(program, node.output), isas)
        steps.append(ProgramStep((node,), node.inputs, node.output, call))
    return steps
