"""Elements at computed places along one axis.   y[i, j] = x[i, indices[i, j]]

When a model is loaded, nodes with constant indices are rewritten, and data are cropped to the shape of the indices on
the other axes (`frontends/rewrites/gathers.py`).
"""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, rank, shape, where
from intaglio.ops.contract import Contract
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.gather import chosen_by_indices, data_or_table, places_in
from intaglio.ops.plain_operands import require_int32
from intaglio.program.operators.gather_elements import GatherElements as IntegerGatherElements


class GatherElements(FloatOperator):
    """ONNX GatherElements with computed indices; negative ones are counted from the end."""

    op_types = ("GatherElements",)
    integers = (0, 1)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Indices of the data's shape on the other axes.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        data, ids, axis = shape(node.inputs[0]), shape(node.inputs[1]), cls.axis(node)
        if len(data) != len(ids) or any(ids[k] != data[k] for k in range(len(data)) if k != axis):
            raise UnsupportedOperatorError(
                f"{where(node)} expected indices of the shape of the data, {data}, beside axis {axis}, got {ids}; "
                "expand the data to them"
            )
        if (table := constant(node.inputs[0])) is not None:
            require_int32(node, table)

    @classmethod
    def axis(cls, node: ir.Node) -> int:
        """The axis that is indexed, not negative."""
        return int(attribute(node, "axis", 0)) % rank(node.inputs[0])

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Read the elements."""
        (x, ids), axis = inputs, cls.axis(node)
        assert x is not None and ids is not None
        return x.gather(axis, places_in(node, ids, x.shape[axis]))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers: those of the data, or of a table that is quantized beforehand."""
        return chosen_by_indices(node)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `gather_elements`."""
        axes = to.operand(node.inputs[0 if constant(node.inputs[0]) is None else 1]).axes
        data, ids = data_or_table(node, to, axes), to.operand(node.inputs[1], axes=axes)
        operator = IntegerGatherElements(axes.index(cls.axis(node)))
        to.emit(node, operator, [data, ids], node.outputs[0], axes)
