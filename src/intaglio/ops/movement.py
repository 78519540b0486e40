"""Operators that move integers and keep their parameters: reshape, transpose, slice, pad."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute, consumers, input_value, is_output, rank, shape
from intaglio.ops.contract import Contract, Own, Role, Same
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.ops.layout import reshaped
from intaglio.ops.operands import constant_operand, require_one_of
from intaglio.program.operators.gather import Gather
from intaglio.program.operators.pad import Pad as IntegerPad
from intaglio.program.operators.requantize import Requantize as IntegerRequantize
from intaglio.program.operators.reshape import Reshape as IntegerReshape
from intaglio.program.operators.slice import Slice as IntegerSlice

MOVES = Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE), Same(0))


def constant_ints(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """A constant input of integers; None where it is left out."""
    if input_value(node, index) is None:
        return None
    return tuple(int(v) for v in constant_operand(node, index).reshape(-1))


class Reshape(FloatOperator):
    """ONNX Reshape and Flatten."""

    op_types = ("Flatten", "Reshape")
    fixed = (1,)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Row-major; a batch other than the Graph's is carried over on axis 0."""
        x = inputs[0]
        assert x is not None
        to, size = shape(node.outputs[0]), shape(node.inputs[0])
        if size and x.shape[0] != size[0] and to[:1] == size[:1]:
            to = (x.shape[0], *to[1:])
        return x.reshape(to)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return MOVES

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `reshape`, in the order that the input has wherever the axes that merge lie side by side in it."""
        source, value = node.inputs[0], node.outputs[0]
        needed, axes = reshaped(to.operand(source).axes, shape(source), shape(value))
        x = to.operand(source, axes=needed)
        size = [shape(value)[axis] for axis in axes]
        if axes[:1] == (0,) and needed[:1] == (0,) and shape(source)[0] == size[0]:
            size[0] = to.leading(size[0])
        to.emit(node, IntegerReshape(to=tuple(size)), [x], value, axes)


class Transpose(FloatOperator):
    """ONNX Transpose: nothing moves until an operator needs another order."""

    op_types = ("Transpose",)

    @classmethod
    def perm(cls, node: ir.Node) -> tuple[int, ...]:
        """Input axis of each output axis."""
        return tuple(attribute(node, "perm", tuple(reversed(range(rank(node.inputs[0]))))))

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """Permutes axes."""
        assert inputs[0] is not None
        return inputs[0].permute(cls.perm(node))

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return MOVES

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """The same tensor under renamed axes."""
        x = to.operand(node.inputs[0])
        perm = cls.perm(node)
        to.alias(node.outputs[0], x, tuple(perm.index(axis) for axis in x.axes))


class Slice(FloatOperator):
    """ONNX Slice with constant bounds."""

    op_types = ("Slice",)
    fixed = (1, 2, 3, 4)

    @classmethod
    def index(cls, node: ir.Node) -> tuple[slice, ...]:
        """One Python slice per axis of the input; negative steps included."""
        size = shape(node.inputs[0])
        starts, ends = (constant_ints(node, index) or () for index in (1, 2))
        axes = constant_ints(node, 3) or tuple(range(len(starts)))
        steps = constant_ints(node, 4) or (1,) * len(starts)
        index = [slice(0, n, 1) for n in size]
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            n = size[axis]
            first, stop, _ = slice(start, max(end, -n - 1) if end < 0 else end, step).indices(n)
            index[axis % len(size)] = slice(first, stop, step)
        return tuple(index)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """The whole batch where axis 0 is not sliced."""
        x = inputs[0]
        assert x is not None
        for axis, (part, n) in enumerate(zip(cls.index(node), shape(node.inputs[0]), strict=True)):
            if part == slice(0, n, 1):
                continue
            if part.step > 0:
                x = x[(slice(None),) * axis + (part,)]
            else:
                x = x.index_select(axis, torch.arange(part.start, part.stop, part.step, device=x.device))
        return x

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Moves integers."""
        return MOVES

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `slice` in the order that the input has."""
        x = to.operand(node.inputs[0])
        index, size = cls.index(node), shape(node.inputs[0])
        axes = [axis for axis in range(len(size)) if index[axis] != slice(0, size[axis], 1)]
        operator = IntegerSlice(
            axes=tuple(x.axis(axis) for axis in axes),
            starts=tuple(index[axis].start for axis in axes),
            stops=tuple(index[axis].stop for axis in axes),
            steps=tuple(index[axis].step for axis in axes),
        )
        to.emit(node, operator, [x], node.outputs[0], x.axes)


class Pad(FloatOperator):
    """ONNX Pad: constant, edge, reflect, wrap; negative pads crop."""

    op_types = ("Pad",)
    fixed = (1, 2, 3)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """The modes of ONNX."""
        require_one_of(node, "mode", ("constant", "edge", "reflect", "wrap"), "constant")

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
            return MOVES
        users, value = consumers(node.outputs[0]), cls.value(node)
        if value < 0 and users and not is_output(node.outputs[0]) and all(u.op_type == "MaxPool" for u in users):
            why = f"its border of {value:g} saturates: only max pools read it, for which it is below all data"
            return Contract(MOVES.roles, Same(0, rounds=True), why=why)
        return Contract(MOVES.roles, Own())

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
