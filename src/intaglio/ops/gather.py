"""Selection by constant indices, and rows of a constant table by computed ones.   y = x[..., indices, ...]"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import DataError, UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, rank, shape, where
from intaglio.ops.contract import Contract, Role, Same
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import constant_operand
from intaglio.program.operators.embedding_lookup import EmbeddingLookup
from intaglio.program.operators.gather import Gather as IntegerGather
from intaglio.program.operators.reshape import Reshape


class Gather(FloatOperator):
    """ONNX Gather; negative indices are counted from the end.

    Either the indices are constant, of any rank, or the data are: a table whose rows computed indices choose.
    """

    op_types = ("Gather",)
    integers = (0, 1)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Constant indices inside the axis, or integers that choose rows of a constant table."""
        if cls.looks_up(node):
            cls.require_table(node)
        else:
            cls.indices(node)

    @classmethod
    def looks_up(cls, node: ir.Node) -> bool:
        """Tell whether computed indices choose from a constant."""
        return constant(node.inputs[0]) is not None and constant(node.inputs[1]) is None

    @classmethod
    def require_table(cls, node: ir.Node) -> None:
        """Refuse a table of integers, or one that is not read by its first axis.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        table = constant_operand(node, 0)
        if cls.axis(node) != 0 or table.dtype.kind != "f" or table.ndim == 0:
            raise UnsupportedOperatorError(
                f"{where(node)} expected a table of real numbers whose rows the computed indices choose (axis 0), got "
                f"axis {cls.axis(node)} of {table.dtype} {table.shape}; transpose the table"
            )

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
        x, axis = inputs[0], cls.axis(node)
        assert x is not None
        if cls.looks_up(node):
            assert inputs[1] is not None
            return x[rows_of(node, inputs[1], len(x))]
        indices = cls.indices(node)
        selected = x.index_select(axis, torch.as_tensor(indices.reshape(-1), device=x.device))
        return selected.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers: those of the data, or of a table that is quantized beforehand."""
        return Contract((Role.SIDE, Role.ACTIVATION), Same(0)) if cls.looks_up(node) else DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `embedding_lookup`; or one `gather`, and a `reshape` where the indices are no plain list."""
        if cls.looks_up(node):
            ids = to.operand(node.inputs[1], axes=tuple(range(rank(node.inputs[1]))))
            table = to.operand(node.inputs[0])
            to.emit(node, EmbeddingLookup(), [table, ids], node.outputs[0], tuple(range(rank(node.outputs[0]))))
            return
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


def rows_of(node: ir.Node, ids: Tensor, rows: int) -> Tensor:
    """Computed indices as rows of a table of this many rows, int64; negative ones count from the end.

    Raises:
        DataError: an index is outside the table, or has a fraction.
    """
    found = ids.long()
    bad = (found < -rows) | (found >= rows)
    if ids.is_floating_point():
        bad = bad | (found != ids)
    if bool(bad.any()):
        value = ids[bad].reshape(-1)[0].item()
        raise DataError(
            f"{where(node)} expected indices of a table of {rows} rows, integers from {-rows} to {rows - 1}, got "
            f"{value:g} ({int(bad.sum())} of {ids.numel()} are outside); repair the data or the network"
        )
    return torch.where(found < 0, found + rows, found)
