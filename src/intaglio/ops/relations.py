"""Comparisons and logic: their results are booleans, 0 or 1, which are no quantized numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.access import constant
from intaglio.number import INT32, QuantParams
from intaglio.ops.contract import Contract, Plain
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.plain_operands import aligned_integers, computed_operand, constant_integers, plain_roles
from intaglio.program.operators.relation import Relation

SIGNS: dict[str, tuple[bool, bool, bool]] = {
    "Equal": (False, True, False),
    "Greater": (False, False, True),
    "GreaterOrEqual": (False, True, True),
    "Less": (True, False, False),
    "LessOrEqual": (True, True, False),
}
"""Whether a comparison holds where the first operand is below, equal to, or above the second."""
_MIRRORED = {"Greater": "Less", "GreaterOrEqual": "LessOrEqual", "Less": "Greater", "LessOrEqual": "GreaterOrEqual"}
_TORCH: dict[str, Callable[..., Tensor]] = {
    "Equal": torch.eq, "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
    "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor, "Not": torch.logical_not,
}  # fmt: skip


class Comparisons(FloatOperator):
    """ONNX Equal, Greater, Less and the like, of real numbers, integers or booleans; one operand may be constant."""

    op_types = tuple(SIGNS)
    integers = (0, 1)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does; torch does not compare every two types of integers."""
        return _TORCH[node.op_type](*(x.long() if x is not None and _is_integer(x) else x for x in inputs))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """A constant becomes the codes that it lies between."""
        return Contract(plain_roles(node), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `relation`."""
        below, equal, above = SIGNS[node.op_type]
        arrays = [constant(value) for value in node.inputs]
        if arrays[0] is None and arrays[1] is None:
            (a, b), axes = aligned_integers(node, to)
            if a.params is None or b.params is None:
                operator = Relation.from_integers(below, equal, above)
            else:
                operator = Relation.from_real(a.quant, b.quant, below=below, equal=equal, above=above)
            to.emit(node, operator, [a, b], node.outputs[0], axes)
            return
        computed = 0 if arrays[0] is None else 1
        held = arrays[1 - computed]
        assert held is not None
        op_type = node.op_type if computed == 0 else _MIRRORED.get(node.op_type, node.op_type)
        x, axes = computed_operand(node, computed, to)
        numbers = held if x.params is None else _thresholds(op_type, held, x.quant)
        codes = np.clip(np.asarray(numbers).astype(np.int64), INT32.qmin, INT32.qmax)
        operator = Relation.from_integers(*SIGNS[op_type])
        to.emit(node, operator, [x, constant_integers(node, codes, axes, to)], node.outputs[0], axes)


def _is_integer(x: Tensor) -> bool:
    return not (x.is_floating_point() or x.dtype == torch.bool)


def _thresholds(op_type: str, held: NDArray[np.generic], params: QuantParams) -> NDArray[np.int64]:
    """Put constants between the codes of a grid, so that codes compare with them as the numbers that they stand for."""
    codes = np.arange(params.type.qmin, params.type.qmax + 1)
    grid, numbers = params.dequantize(codes), held.astype(np.float32)
    first = np.searchsorted(grid, numbers, side="left")  # of the codes that are not below the constant
    behind = np.searchsorted(grid, numbers, side="right")
    at = params.type.qmin + np.where(np.isin(op_type, ("Greater", "LessOrEqual")), behind - 1, first)
    if op_type == "Equal":
        at = np.where(behind > first, at, INT32.qmin)  # no code stands for the constant
    return np.asarray(at, np.int64)


class Logic(FloatOperator):
    """ONNX And, Or, Xor and Not."""

    op_types = ("And", "Not", "Or", "Xor")
    integers = (0, 1)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Broadcast as NumPy does."""
        return _TORCH[node.op_type](*inputs)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Booleans of booleans."""
        return Contract(plain_roles(node), Plain())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `relation`: of the sum of both operands with 1 or 2, or of one operand with 0."""
        if node.op_type == "Not":
            x, axes = computed_operand(node, 0, to)
            zero = constant_integers(node, np.zeros((), np.int64), axes, to)
            to.emit(node, Relation.from_integers(False, True, False), [x, zero], node.outputs[0], axes)
            return
        least, above = {"And": (2, False), "Or": (1, True), "Xor": (1, False)}[node.op_type]
        (a, b), axes = aligned_integers(node, to)
        operator = Relation.from_integers(False, True, above, b_multiplier=-1, offset=least)
        to.emit(node, operator, [a, b], node.outputs[0], axes)
