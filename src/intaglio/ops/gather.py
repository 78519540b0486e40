"""Selection along an axis by constant or computed indices.   y = x[..., indices, ...]"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import DataError, UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, rank, shape, where
from intaglio.number import BOOLEAN, INT32
from intaglio.ops.contract import Contract, Plain, Role, Same
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import Axes, FloatOperator, Lowering, Placed
from intaglio.ops.operands import constant_operand
from intaglio.ops.plain_operands import require_int32
from intaglio.program.operators.embedding_lookup import EmbeddingLookup
from intaglio.program.operators.gather import Gather as IntegerGather
from intaglio.program.operators.reshape import Reshape


class Gather(FloatOperator):
    """ONNX Gather; negative indices are counted from the end.

    The indices are constant or computed, of any rank, and so are the data: numbers, integers or booleans.
    """

    op_types = ("Gather",)
    integers = (0, 1)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Constant indices inside the axis; a constant table of integers that int32 holds."""
        if not cls.looks_up(node):
            cls.indices(node)
        elif (table := constant(node.inputs[0])) is not None:
            require_int32(node, table)

    @classmethod
    def looks_up(cls, node: ir.Node) -> bool:
        """Tell whether the indices are computed."""
        return constant(node.inputs[1]) is None

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
            indices = places_in(node, inputs[1], x.shape[axis])
        else:
            indices = torch.as_tensor(cls.indices(node), device=x.device)
        selected = x.index_select(axis, indices.reshape(-1))
        return selected.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers: those of the data, or of a table that is quantized beforehand."""
        return chosen_by_indices(node) if cls.looks_up(node) else DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `embedding_lookup` of the first axis; or one `gather`, and a `reshape` where the indices are no list."""
        if cls.looks_up(node):
            axis, new, full = cls.axis(node), rank(node.inputs[1]), rank(node.inputs[0])
            kept = [other for other in range(full) if other != axis]
            table = data_or_table(node, to, (axis, *kept))
            ids = to.operand(node.inputs[1], axes=tuple(range(new)))
            axes = (*range(axis, axis + new), *(other if other < axis else other + new - 1 for other in kept))
            to.emit(node, EmbeddingLookup(), [table, ids], node.outputs[0], axes)
            return
        x, value, axis, indices = to.operand(node.inputs[0]), node.outputs[0], cls.axis(node), cls.indices(node)
        at, new = x.axis(axis), indices.ndim
        operator = IntegerGather(axis=at, indices=indices.reshape(-1))
        if new == 1:
            to.emit(node, operator, [x], value, x.axes)
            return
        selected = to.step(node, operator, [x], x.params, x.axes)
        size = [*selected.shape[:at], *indices.shape, *selected.shape[at + 1 :]]
        places: list[int] = []
        for old in x.axes:  # axes behind the indexed one are renumbered, and it gives way to those of the indices
            places.extend(range(axis, axis + new) if old == axis else [old if old < axis else old + new - 1])
        if x.axes[0] == 0 and axis != 0:
            size[0] = to.leading(size[0])
        to.emit(node, Reshape(to=tuple(size)), [selected], value, tuple(places))


def chosen_by_indices(node: ir.Node) -> Contract:
    """The contract of an operator whose computed second operand says which elements of the first one it moves."""
    table = constant(node.inputs[0])
    if table is None:
        return Contract((Role.ACTIVATION, Role.ACTIVATION), Same(0))
    if table.dtype.kind == "f":
        return Contract((Role.SIDE, Role.ACTIVATION), Same(0))
    return Contract((Role.OFFLINE, Role.ACTIVATION), Plain())


def data_or_table(node: ir.Node, to: Lowering, axes: Axes) -> Placed:
    """The first operand in an order of axes; integers and booleans of a constant are its codes."""
    table = constant(node.inputs[0])
    if table is None or table.dtype.kind == "f":
        return to.operand(node.inputs[0], axes=axes)
    type = BOOLEAN if table.dtype == np.bool_ else INT32
    return to.integers(f"{node.name}.table", table.transpose(axes), axes, type)


def places_in(node: ir.Node, ids: Tensor, rows: int) -> Tensor:
    """Computed indices as places in an axis of this size, int64; negative ones count from the end.

    Raises:
        DataError: an index is outside the axis, or has a fraction.
    """
    found = ids.long()
    bad = (found < -rows) | (found >= rows)
    if ids.is_floating_point():
        bad = bad | (found != ids)
    if bool(bad.any()):
        value = ids[bad].reshape(-1)[0].item()
        raise DataError(
            f"{where(node)} expected indices of an axis of size {rows}, integers from {-rows} to {rows - 1}, got "
            f"{value:g} ({int(bad.sum())} of {ids.numel()} are outside); repair the data or the network"
        )
    return torch.where(found < 0, found + rows, found)
