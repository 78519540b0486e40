"""Fuse chains of operators into one call, if the machine's kernels support it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from intaglio.kernels.kernel import Call, Tensor
from intaglio.kernels.vector.baremetal import baremetal_chain
from intaglio.kernels.vector.chain import LONGEST, Link, chain_call, fused_length
from intaglio.kernels.vector.vector_isas import VECTORS, Vector
from intaglio.program import Node, Program

FUSED = {"conv2d", "add", "max_pool2d", "lut", "requantize", "mul", "clamp_channels"}


def find_chains(
    program: Program, tensors: Mapping[str, Tensor], whole: Collection[str], isas: Sequence[str], *, baremetal: bool
) -> dict[str, tuple[tuple[Node, ...], tuple[str, ...], Call]]:
    """Find chains of two or more nodes to fuse: last node's name -> (nodes, inputs of the call, call).

    Args:
        program: the Program.
        tensors: shape and type of every tensor.
        whole: tensors that have their own memory without views in it.
        isas: instruction sets, best first.
        baremetal: whether the machine has little memory and one thread.
    """
    vector = next((VECTORS[isa] for isa in isas if isa in VECTORS), None)
    if vector is None and not baremetal:
        return {}
    readers: dict[str, list[Node]] = {}
    for node in program.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    uses = Counter(name for node in program.nodes for name in node.inputs)
    taken: set[str] = set()
    found = {}
    for node in program.nodes:
        if node.operator.kind != "conv2d" or node.name in taken:
            continue
        nodes = [node]
        while len(nodes) < LONGEST:
            name = nodes[-1].output
            if uses[name] != 1 or name in program.outputs or name not in whole:
                break
            following = readers[name][0]
            if following.operator.kind not in FUSED or following.name in taken:
                break
            nodes.append(following)
        links = [_link(n, nodes[i - 1].output if i else n.inputs[0], tensors) for i, n in enumerate(nodes)]
        fused = _fused(links, vector, isas)
        if fused is None:
            continue
        length, call = fused
        chain, last = nodes[:length], links[length - 1]
        inputs = [chain[0].inputs[0]]
        if len(last.inputs) == 2:
            inputs.append(chain[-1].inputs[1 - last.main])
        taken.update(n.name for n in chain)
        found[chain[-1].name] = (tuple(chain), tuple(inputs), call)
    return found


def _link(node: Node, main: str, tensors: Mapping[str, Tensor]) -> Link:
    operands = tuple(tensors[name] for name in node.inputs)
    return Link(node.operator, operands, tensors[node.output], node.inputs.index(main))


def _fused(links: Sequence[Link], vector: Vector | None, isas: Sequence[str]) -> tuple[int, Call] | None:
    """Return how many of the first links can be fused, and the call."""
    if vector is None:
        return baremetal_chain(links, isas)
    length = fused_length(links, vector)
    call = chain_call(links[:length], vector) if length > 1 else None
    return None if call is None else (length, call)
