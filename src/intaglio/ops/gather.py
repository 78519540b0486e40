"""Selection by constant indices.   y = x[..., indices, ...]"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, rank, shape
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import constant_operand
from intaglio.program.operators.gather import Gather as IntegerGather
from intaglio.program.operators.reshape import Reshape


class Gather(FloatOperator):
    """ONNX Gather with constant indices of any rank, negative ones counted from the end."""

    op_types = ("Gather",)
    fixed = (1,)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Indices of the axis."""
        cls.indices(node)

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The axis that is indexed, not negative."""
        return int(attribute(node, "axis", 0)) % rank(node.inputs[0])

    @classmethod
    def indices(cls, node: ir.Node) -> NDArray[np.int64]:
        """Not negative, any rank.

        Raises:
            UnsupportedOperatorError: they are computed, or outside the axis.
        """
        array, size = constant_operand(node, 1), shape(node.inputs[0])[cls.axis(node)]
        if ((array < -size) | (array >= size)).any():
            raise UnsupportedOperatorError(
                f"[Gather {node.name!r}] expected indices of an axis of size {size}, got {array.min()} to {array.max()}"
            )
        return np.where(array < 0, array + size, array).astype(np.int64)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The indexed axis is replaced by the axes of the indices."""
        x, axis, indices = inputs[0], cls.axis(node), cls.indices(node)
        assert x is not None
        selected = x.index_select(axis, torch.as_tensor(indices.reshape(-1), device=x.device))
        return selected.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `gather`, and a `reshape` where the indices are no plain list."""
        x, value, axis, indices = to.operand(node.inputs[0]), node.outputs[0], cls.axis(node), cls.indices(node)
        at, new = x.axis(axis), indices.ndim
        operator = IntegerGather(axis=at, indices=indices.reshape(-1))
        if new == 1:
            to.emit(node, operator, [x], value, x.axes)
            return
        selected = to.step(node, operator, [x], x.params, x.axes)
        size = [*selected.shape[:at], *indices.shape, *selected.shape[at + 1 :]]
        axes: list[int] = []
        for old in x.axes:  # axes behind the indexed one are renumbered, and it gives way to those of the indices
            axes.extend(range(axis, axis + new) if old == axis else [old if old < axis else old + new - 1])
        if x.axes[0] == 0 and axis != 0:
            size[0] = to.leading(size[0])
        to.emit(node, Reshape(to=tuple(size)), [selected], value, tuple(axes))
