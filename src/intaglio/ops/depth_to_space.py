"""Blocks of pixels to channels and back: DepthToSpace, SpaceToDepth."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.ops.contract import Contract
from intaglio.ops.data_movement import DATA_MOVEMENT
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import require_one_of
from intaglio.ops.window_nodes import channels_last
from intaglio.program import Operator
from intaglio.program.operators.depth_to_space import DepthToSpace as IntegerDepthToSpace
from intaglio.program.operators.space_to_depth import SpaceToDepth as IntegerSpaceToDepth


class DepthToSpace(FloatOperator):
    """ONNX DepthToSpace (DCR and CRD) and SpaceToDepth, b the block size."""

    op_types = ("DepthToSpace", "SpaceToDepth")

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The orders of ONNX."""
        require_one_of(node, "mode", ("DCR", "CRD"), "DCR")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """(N, C b b, H, W) to (N, C, H b, W b), or back."""
        x, b = inputs[0], attribute(node, "blocksize")
        assert x is not None
        n, c, h, w = x.shape
        if node.op_type == "SpaceToDepth":
            x = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
            return x.reshape(n, c * b * b, h // b, w // b)
        c //= b * b
        if attribute(node, "mode", "DCR") == "DCR":
            x = x.reshape(n, b, b, c, h, w).permute(0, 3, 4, 1, 5, 2)
        else:
            x = x.reshape(n, c, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(n, c, h * b, w * b)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return DATA_MOVEMENT

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `depth_to_space` or `space_to_depth`."""
        x, b = to.operand(node.inputs[0], axes=channels_last(4)), attribute(node, "blocksize")
        if node.op_type == "DepthToSpace":
            operator: Operator = IntegerDepthToSpace(block=b, crd=attribute(node, "mode", "DCR") == "CRD")
        else:
            operator = IntegerSpaceToDepth(block=b)
        to.emit(node, operator, [x], node.outputs[0], x.axes)
