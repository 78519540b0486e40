"""Pad: constant, edge, reflect or wrap; negative pads crop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, consumers, input_value, is_output, rank, shape, where
from intaglio.ops.contract import Contract, Own, Same
from intaglio.ops.data_movement import DATA_MOVEMENT, constant_ints
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.operands import constant_operand, require_one_of
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.pad import Pad as IntegerPad
from intaglio.program.operators.requantize import Requantize as IntegerRequantize


class Pad(FloatOperator):
    """ONNX Pad: constant, edge, reflect, wrap; negative pads crop."""

    op_types = ("Pad",)
    fixed = (1, 2, 3)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The modes of ONNX, and a finite border.

        Raises:
            UnsupportedOperatorError: naming the node.
        """
        require_one_of(node, "mode", ("constant", "edge", "reflect", "wrap"), "constant")
        if attribute(node, "mode", "constant") == "constant" and not (
            math.isfinite(cls.value(node)) or cls.below_pools(node)
        ):
            raise UnsupportedOperatorError(
                f"{where(node)} expected a finite border, got {cls.value(node):g}, which only max pools may read; pad "
                "with a finite number"
            )

    @classmethod
    def amounts(cls, node: ir.Node) -> list[tuple[int, int]]:
        """(before, after) of every axis."""
        n = rank(node.inputs[0])
        pads = constant_ints(node, 1) or ()
        axes = constant_ints(node, 3) or tuple(range(n))
        amounts = [(0, 0)] * n
        for i, axis in enumerate(axes):
            amounts[axis % n] = (pads[i], pads[i + len(axes)])
        return amounts

    @classmethod
    def value(cls, node: ir.Node) -> float:
        """What constant padding is filled with."""
        return 0.0 if input_value(node, 2) is None else float(constant_operand(node, 2).reshape(-1)[0])

    @classmethod
    def below_pools(cls, node: ir.Node) -> bool:
        """Whether only max pools read a border below 0."""
        users = consumers(node.outputs[0])
        pools = bool(users) and not is_output(node.outputs[0]) and all(u.op_type == "MaxPool" for u in users)
        return pools and cls.value(node) < 0

    @classmethod
    def indices(cls, node: ir.Node, axis: int) -> Any:
        """Source index of every position along an axis, for the modes that repeat elements."""
        n, (before, after) = shape(node.inputs[0])[axis], cls.amounts(node)[axis]
        source = np.pad(np.arange(n), (max(before, 0), max(after, 0)), mode=attribute(node, "mode"))
        return source[max(-before, 0) : len(source) - max(-after, 0)]

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Constant padding, or a selection of indices."""
        x = inputs[0]
        assert x is not None
        if attribute(node, "mode", "constant") == "constant":
            flat = [p for pair in reversed(cls.amounts(node)) for p in pair]
            return F.pad(x, flat, value=cls.value(node))
        for axis, amount in enumerate(cls.amounts(node)):
            if amount != (0, 0):
                x = x.index_select(axis, torch.as_tensor(cls.indices(node, axis), device=x.device))
        return x

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Real 0 is exact on every grid, so padding with it moves integers; another value has to be in the range.

        A border of at most 0 that only max pools read need not be: a range holds 0, so what saturates at its low end
        is below all data, or as far below as the data themselves go, and is the maximum of border windows only.
        """
        if attribute(node, "mode", "constant") != "constant" or cls.value(node) == 0.0:
            return DATA_MOVEMENT
        if cls.below_pools(node):
            why = f"its border of {cls.value(node):g} saturates: only max pools read it, for which it is below all data"
            return Contract(DATA_MOVEMENT.roles, Same(0, rounds=True), why=why)
        return Contract(DATA_MOVEMENT.roles, Own())

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `pad`, or one `gather` per axis for the modes that repeat elements."""
        x, value = to.operand(node.inputs[0]), node.outputs[0]
        amounts = cls.amounts(node)
        result = to.result(node)
        if attribute(node, "mode", "constant") == "constant":
            if result.params != x.quant:
                x = to.step(
                    node, IntegerRequantize.from_real(x.quant, result.params, rule=to.rule), [x], result.params, x.axes
                )
            code = int(result.params.quantize(np.float32(cls.value(node))))
            operator = IntegerPad(
                before=tuple(amounts[axis][0] for axis in x.axes),
                after=tuple(amounts[axis][1] for axis in x.axes),
                value=code,
            )
            to.emit(node, operator, [x], value, x.axes)
            return
        padded = [axis for axis, amount in enumerate(amounts) if amount != (0, 0)]
        if not padded:
            to.alias(value, x, x.axes)
            return
        for axis in padded[:-1]:
            x = to.step(node, Gather(axis=x.axis(axis), indices=cls.indices(node, axis)), [x], x.params, x.axes)
        to.emit(node, Gather(axis=x.axis(padded[-1]), indices=cls.indices(node, padded[-1])), [x], value, x.axes)
