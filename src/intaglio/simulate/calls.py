"""Convert a Graph to a list of PyTorch calls, prepared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph import Graph
from intaglio.ops import float_operator


@dataclass(frozen=True, eq=False)
class NodeCall:
    """One node as a PyTorch call.

    Args:
        node: the node.
        inputs: names of its inputs in order; None for an omitted one.
        outputs: names of its outputs; empty for an unused one.
        done: computed values that no later node reads.
        compute: function (which operands are given, the given operands) -> one tensor for each output.
    """

    node: ir.Node
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    done: tuple[str, ...]
    compute: Callable[..., tuple[Tensor, ...]]

    def read_again(self) -> NodeCall:
        """Return the call with the node's current input names."""
        return replace(self, inputs=_names(self.node))

    def real(self, *operands: Tensor | None) -> tuple[Tensor, ...]:
        """Compute the node: one tensor for each output."""
        return self.compute(tuple(x is not None for x in operands), *(x for x in operands if x is not None))

    def opaque(self) -> NodeCall:
        """Return the call for `torch.compile`, which then traces the tensors but not the code that reads the Graph."""
        return replace(self, compute=torch._dynamo.nonstrict_trace(self.compute))

    def operands(self, values: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> list[Tensor | None]:
        """Select the operands from values and constants by name."""
        return [None if name is None else values[name] if name in values else constants[name] for name in self.inputs]

    def named(self, results: tuple[Tensor, ...]) -> list[tuple[str, Tensor]]:
        """Pair results with their names, without unused ones."""
        return [(name, result) for name, result in zip(self.outputs, results, strict=False) if name]


def calls(graph: Graph) -> list[NodeCall]:
    """Convert the nodes of a Graph, in order."""
    kept = {str(v.name) for v in graph.outputs} | {str(v.name) for v in graph.initializers}
    found: list[NodeCall] = []
    for node in reversed(graph.nodes):
        inputs = _names(node)
        outputs = tuple(str(v.name or "") for v in node.outputs)
        new = {name for name in (*inputs, *outputs) if name} - kept
        found.append(NodeCall(node, inputs, outputs, tuple(sorted(new)), _compute(node)))
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
