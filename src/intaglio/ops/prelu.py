"""PRelu.   y = x for x >= 0, slope * x below"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank, shape
from intaglio.ops.contract import Contract, Role
from intaglio.ops.operator import FloatOperator, Lowering


class PRelu(FloatOperator):
    """ONNX PRelu with a constant slope: one number, or one along an axis."""

    op_types = ("PRelu",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The slope broadcasts to x."""
        x, slope = inputs
        assert x is not None and slope is not None
        return torch.where(x < 0, slope * x, x)

    @classmethod
    def slopes(cls, node: ir.Node) -> tuple[NDArray[np.float64], int | None]:
        """The slopes, (1,) or (C,), and the graph axis along which they lie, None for one slope.

        Raises:
            UnsupportedOperatorError: they are computed, or differ along several axes.
        """
        array, full = constant(node.inputs[1]), rank(node.inputs[0])
        if array is None:
            raise UnsupportedOperatorError(f"[PRelu {node.name!r}] expected a constant slope, got a computed one")
        size = (1,) * (full - array.ndim) + array.shape
        varying = [axis for axis, n in enumerate(size) if n != 1]
        if len(varying) > 1:
            raise UnsupportedOperatorError(
                f"[PRelu {node.name!r}] expected one slope or one per channel, got slopes of shape {array.shape} for an "
                f"input of shape {shape(node.inputs[0])}"
            )
        return array.reshape(-1).astype(np.float64), varying[0] if varying else None

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Slopes become integer parameters."""
        cls.slopes(node)
        return Contract((Role.ACTIVATION, Role.OFFLINE), fuses_clamp=True)
