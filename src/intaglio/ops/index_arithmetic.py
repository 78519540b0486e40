"""Arithmetic of plain integers, which indices and positions are computed with.   y = a + b, a - b, a * b, min, max"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import constant, input_value, where
from intaglio.number import INT32
from intaglio.ops.contract import Contract, Plain, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.plain_operands import (
    aligned_integers,
    computed_operand,
    constant_integers,
    plain_roles,
    require_int32,
)
from intaglio.program.operators.integer_arithmetic import IntegerArithmetic
from intaglio.program.operators.select import Select

_TORCH: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Min": torch.minimum, "Max": torch.maximum,
}  # fmt: skip


class IndexArithmetic(FloatOperator):
    """ONNX Add, Sub, Mul, Min and Max of two operands of int32 or int64; a Program saturates at 32 bits."""

    op_types = tuple(_TORCH)
    integers = (0, 1)
    of_indices = True

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Two operands; constants that int32 holds.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        if len(node.inputs) != 2:
            raise UnsupportedOperatorError(
                f"{where(node)} expected two operands of integers, got {len(node.inputs)}; write it with operators of "
                "two operands each"
            )
        for value in node.inputs:
            if (array := constant(value)) is not None:
                require_int32(node, array)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        a, b = (x.long() for x in inputs if x is not None)
        return _TORCH[node.op_type](a, b)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Integers that stand for themselves."""
        return Contract(plain_roles(node), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `integer_arithmetic`."""
        operands, axes = aligned_integers(node, to)
        to.emit(node, IntegerArithmetic(node.op_type.lower()), operands, node.outputs[0], axes)


class IndexNegation(FloatOperator):
    """ONNX Neg of int32 or int64."""

    op_types = ("Neg",)
    integers = (0,)
    of_indices = True

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """In 64 bits."""
        assert inputs[0] is not None
        return -inputs[0].long()

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Integers that stand for themselves."""
        return Contract((Role.ACTIVATION,), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `integer_arithmetic`: the difference from 0."""
        x, axes = computed_operand(node, 0, to)
        zero = constant_integers(node, np.array(0), axes, to)
        to.emit(node, IntegerArithmetic("sub"), [zero, x], node.outputs[0], axes)


class IndexChoice(FloatOperator):
    """ONNX Where of int32 or int64 by a computed or constant condition."""

    op_types = ("Where",)
    integers = (0, 1, 2)
    of_indices = True

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Constants that int32 holds.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        for value in node.inputs:
            if (array := constant(value)) is not None:
                require_int32(node, array)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        condition, a, b = inputs
        assert condition is not None and a is not None and b is not None
        return torch.where(condition.bool(), a.long(), b.long())

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Integers that stand for themselves."""
        return Contract(plain_roles(node), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `select` of operands of 32 bits."""
        (condition, *operands), axes = aligned_integers(node, to)
        zero = constant_integers(node, np.array(0), axes, to)
        wide = [
            x if x.type == INT32 else to.step(node, IntegerArithmetic("add"), [x, zero], None, axes) for x in operands
        ]
        to.emit(node, Select(), [condition, *wide], node.outputs[0], axes)


class IndexClip(FloatOperator):
    """ONNX Clip of int32 or int64 with constant bounds; bounds beyond 32 bits limit nothing in a Program."""

    op_types = ("Clip",)
    fixed = (1, 2)
    integers = (0,)
    of_indices = True

    @classmethod
    def bounds(cls, node: ir.Node) -> tuple[int, int]:
        """The smallest and the largest result."""
        low, high = (constant(input_value(node, index)) for index in (1, 2))
        smallest = INT32.qmin if low is None else max(INT32.qmin, int(low.item()))
        largest = INT32.qmax if high is None else min(INT32.qmax, int(high.item()))
        return min(smallest, INT32.qmax), max(largest, INT32.qmin)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Where the bounds cross, the upper one counts."""
        x, (low, high) = inputs[0], cls.bounds(node)
        assert x is not None
        return x.long().clamp_min(low).clamp_max(high)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Integers that stand for themselves."""
        return Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Two `integer_arithmetic`: the larger of x and the lower bound, the smaller of that and the upper one."""
        x, axes = computed_operand(node, 0, to)
        low, high = (constant_integers(node, np.array(bound), axes, to) for bound in cls.bounds(node))
        above = to.step(node, IntegerArithmetic("max"), [x, low], None, axes)
        to.emit(node, IntegerArithmetic("min"), [above, high], node.outputs[0], axes)
