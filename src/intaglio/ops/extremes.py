"""Min and Max of one computed value and constant numbers: clamps by another name."""

from __future__ import annotations

import math

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, rank
from intaglio.ops.contract import Contract, Role
from intaglio.ops.operator import FloatOperator, Lowering
from intaglio.program.operators.requantize import Requantize


class Extreme(FloatOperator):
    """ONNX Min and Max; everything but one input is a constant number."""

    op_types = ("Max", "Min")

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        pick = torch.maximum if node.op_type == "Max" else torch.minimum
        y = inputs[0]
        assert y is not None
        for x in inputs[1:]:
            assert x is not None
            y = pick(y, x)
        return y

    @classmethod
    def bounds(cls, node: ir.Node) -> tuple[float, float]:
        """(low, high) of the clamp.

        Raises:
            UnsupportedOperatorError: two computed operands, or constants of several numbers.
        """
        arrays = [constant(v) for v in node.inputs]
        numbers = [float(a.reshape(-1)[0]) for a in arrays if a is not None and a.size == 1]
        computed = [v for v, a in zip(node.inputs, arrays, strict=True) if a is None]
        if len(computed) != 1 or len(numbers) != len(arrays) - 1 or rank(computed[0]) != rank(node.outputs[0]):
            raise UnsupportedOperatorError(
                f"[{node.op_type} {node.name!r}] expected one computed operand and constant numbers, which make a "
                f"clamp, got {len(computed)} computed operands and {len(arrays) - len(computed)} constants; rewrite it "
                "with Relu or Clip"
            )
        return (
            (max(numbers, default=-math.inf), math.inf)
            if node.op_type == "Max"
            else (-math.inf, min(numbers, default=math.inf))
        )

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Fused as a clamp; alone, a requantization onto the clamped range."""
        roles = tuple(Role.ACTIVATION if constant(v) is None else Role.OFFLINE for v in node.inputs)
        return Contract(roles, clamp=cls.bounds(node))

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Only where nothing before it could take it."""
        x = to.operand(next(v for v in node.inputs if constant(v) is None))
        result = to.result(node)
        operator = Requantize.from_real(x.quant, result.params, rule=to.rule, low=result.low, high=result.high)
        to.emit(node, operator, [x], result.value, x.axes)
