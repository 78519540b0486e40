"""From a Program's nodes to the steps that run: a kernel call for one node, or for several that are fused."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from intaglio.codegen.fuse import find_chains
from intaglio.kernels.kernel import Call, Tensor, bind
from intaglio.program import Node, Program


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


def plan_steps(
    program: Program, views: Collection[str], isas: Sequence[str], whole: Collection[str] = (), *, bare: bool = False
) -> list[Step]:
    """The steps of a Program in its order.

    Args:
        program: what to run.
        views: names of nodes that need no step.
        isas: instruction sets, best first.
        whole: tensors with memory of their own that nothing else lies in; what lies between fused nodes is of these.
        bare: memory is scarce and there is one thread.
    """
    steps = []
    tensors = {name: tensor(program, name) for name in program.tensors}
    chains = find_chains(program, tensors, whole, isas, bare=bare)
    fused = {node.name for nodes, _, _ in chains.values() for node in nodes}
    for node in program.nodes:
        if node.name in chains:
            nodes, inputs, call = chains[node.name]
            steps.append(Step(nodes, inputs, node.output, call))
        if node.name in views or node.name in fused:
            continue
        operands = [tensor(program, name) for name in node.inputs]
        call = bind(node.operator, operands, tensor(program, node.output), isas)
        steps.append(Step((node,), node.inputs, node.output, call))
    return steps
