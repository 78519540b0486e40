"""What the reductions over constant axes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute, rank
from intaglio.ops.data_movement import constant_ints
from intaglio.ops.float_operator import Axes, FloatOperator


def reduced_axes(node: ir.Node) -> Axes:
    """List the axes that a reduction goes over, sorted; none where `noop_with_empty_axes` says so."""
    axes = constant_ints(node, 1) or ()
    full = rank(node.inputs[0])
    if not axes:
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(full))
    return tuple(sorted(axis % full for axis in axes))


class Reduction(FloatOperator):
    """A reduction whose axes are its second operand.

    Attributes:
        functions: PyTorch's function by ONNX name, called with the axes and `keepdim`.
        nothing: the function of a reduction over no axes; without one, x itself.
    """

    fixed = (1,)
    functions: ClassVar[Mapping[str, Callable[..., Tensor]]] = {}
    nothing: ClassVar[Mapping[str, Callable[[Tensor], Tensor]]] = {}

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Reduce over the axes, which stay with size 1 where `keepdims` says so."""
        x, axes, keepdims = inputs[0], reduced_axes(node), bool(attribute(node, "keepdims", 1))
        assert x is not None
        if not axes:
            return cls.nothing[node.op_type](x) if cls.nothing else x
        return cls.functions[node.op_type](x, axes, keepdim=keepdims)
