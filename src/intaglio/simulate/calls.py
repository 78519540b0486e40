"""A Graph as a list of PyTorch calls: what each node reads, makes and computes, looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph import Graph
from intaglio.ops import float_operator


@dataclass(frozen=True, eq=False)
class Call:
    """A node.

    Args:
        node: of the Graph.
        inputs: names of the values that it reads, in its order; None where one is left out.
        outputs: names of those that it makes; empty where nobody reads one.
        done: the computed values that nobody reads behind it.
        compute: which operands are given, and these, to one tensor per output.
    """

    node: ir.Node
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]
    compute: Callable[..., tuple[Tensor, ...]]

    def read_again(self) -> Call:
        """The same node, whose constants may be others or more."""
        return replace(self, inputs=_names(self.node))

    def real(self, *operands: Tensor | None) -> tuple[Tensor, ...]:
        """What the node computes of its operands: one tensor per output."""
        return self.compute(tuple(x is not None for x in operands), *(x for x in operands if x is not None))

    def opaque(self) -> Call:
        """The same for `torch.compile`, which sees the tensors in it and not the Graph that describes it."""
        return replace(self, compute=torch._dynamo.nonstrict_trace(self.compute))

    def operands(self, values: Mapping[str, Tensor]) -> list[Tensor | None]:
        """What it reads, of values by name."""
        return [None if name is None else values[name] for name in self.inputs]

    def named(self, results: tuple[Tensor, ...]) -> list[tuple[str, Tensor]]:
        """Its results, with their names, that somebody reads."""
        return [(name, result) for name, result in zip(self.outputs, results, strict=False) if name]


def calls(graph: Graph) -> list[Call]:
    """The nodes of a Graph in its order."""
    kept = {str(v.name) for v in graph.outputs} | {str(v.name) for v in graph.initializers}
    found: list[Call] = []
    for node in reversed(graph.nodes):
        inputs = _names(node)
        outputs = tuple(str(v.name or "") for v in node.outputs)
        new = {name for name in (*inputs, *outputs) if name} - kept
        found.append(Call(node, inputs, outputs, tuple(sorted(new)), _compute(node)))
        kept |= new
    return found[::-1]


def _names(node: ir.Node) -> tuple[str | None, ...]:
    return tuple(None if value is None else str(value.name) for value in node.inputs)


def _compute(node: ir.Node) -> Callable[..., tuple[Tensor, ...]]:
    real = float_operator(node).real

    def compute(given: tuple[bool, ...], *operands: Tensor) -> tuple[Tensor, ...]:
        rest = iter(operands)
        found = real(node, *(next(rest) if has else None for has in given))
        return found if isinstance(found, tuple) else (found,)

    return compute
