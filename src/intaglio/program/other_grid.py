"""Bring an input or output of a Program to another grid: the tensor behind or in front of it gets another name."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from intaglio.number import QuantParams
from intaglio.program.operators.requantize import Requantize
from intaglio.program.structure import Node, ProgramStructure, fresh

_Program = TypeVar("_Program", bound=ProgramStructure)


def input_from_grid(program: _Program, name: str, grid: QuantParams, operator: Requantize) -> _Program:
    """Let an input have another grid, from which an operator brings it to the network's own; no state begins there."""
    info = program.tensors[name]
    inner = fresh(f"{name}.own", program.tensors)
    nodes = [
        replace(node, inputs=tuple(inner if read == name else read for read in node.inputs)) for node in program.nodes
    ]
    first = Node(fresh(f"{name}.requantize", {node.name for node in nodes}), operator, (name,), inner)
    tensors = {
        **program.tensors,
        name: replace(info, type=grid.type, params=grid),
        inner: replace(info, name=inner),
    }
    return replace(program, nodes=[first, *nodes], tensors=tensors)


def output_to_grid(program: _Program, name: str, grid: QuantParams, operator: Requantize) -> _Program:
    """Bring an output that a node computes to another grid."""
    info = program.tensors[name]
    inner = fresh(f"{name}.own", program.tensors)

    def renamed(other: str) -> str:
        return inner if other == name else other

    nodes = [
        replace(node, inputs=tuple(map(renamed, node.inputs)), output=renamed(node.output)) for node in program.nodes
    ]
    nodes.append(Node(fresh(f"{name}.requantize", {node.name for node in nodes}), operator, (inner,), name))
    tensors = {renamed(other): replace(each, name=renamed(other)) for other, each in program.tensors.items()}
    tensors[name] = replace(info, type=grid.type, params=grid)
    return replace(program, nodes=nodes, tensors=tensors)
