"""Blocks of pixels to channels and back: DepthToSpace, SpaceToDepth."""

from __future__ import annotations

import onnx_ir as ir
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.ops.contract import Contract
from intaglio.ops.movement import MOVES
from intaglio.ops.operator import FloatOperator, Lowering
from intaglio.ops.windows import channels_last
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.transpose import Transpose

# Axes of the result that each axis of the split input becomes. Of the 6 axes N, two for the block and C in an order
# that the mode sets, H, W, the result takes N, C, H, block, W, block.


class DepthToSpace(FloatOperator):
    """ONNX DepthToSpace (DCR and CRD) and SpaceToDepth (DCR and CRD), b the block size."""

    op_types = ("DepthToSpace", "SpaceToDepth")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """(N, C b b, H, W) to (N, C, H b, W b), or back."""
        x, b = inputs[0], attribute(node, "blocksize")
        assert x is not None
        blocks_first = attribute(node, "mode", "DCR") == "DCR"
        n, c, h, w = x.shape
        if node.op_type == "DepthToSpace":
            c //= b * b
            x = x.reshape(n, b, b, c, h, w) if blocks_first else x.reshape(n, c, b, b, h, w)
            return x.permute((0, 3, 4, 1, 5, 2) if blocks_first else (0, 1, 4, 2, 5, 3)).reshape(n, c, h * b, w * b)
        x = x.reshape(n, c, h // b, b, w // b, b).permute((0, 3, 5, 1, 2, 4) if blocks_first else (0, 1, 3, 5, 2, 4))
        return x.reshape(n, c * b * b, h // b, w // b)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return MOVES
