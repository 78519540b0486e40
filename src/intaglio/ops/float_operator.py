"""What every float operator provides: `real`, `contract` and `lower`; and what lowering offers to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.time_loops import is_loop
from intaglio.number import IntType, QuantParams, Rule
from intaglio.ops.contract import Contract, Role
from intaglio.ops.operands import require_constants, require_one_result, require_real
from intaglio.ops.refused import INSTEAD
from intaglio.program import Operator

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Placed:
    """A Graph value as a Program tensor.

    Args:
        name: the Program tensor.
        axes: graph axis of each tensor axis: `tensor == value.transpose(axes)`.
        shape: of the tensor, in its own order.
        type: of its integers.
        params: what they stand for; None for plain integers.
    """

    name: str
    axes: Axes
    shape: tuple[int, ...]
    type: IntType
    params: QuantParams | None

    @property
    def quant(self) -> QuantParams:
        """The parameters of a tensor that has some."""
        assert self.params is not None, self.name
        return self.params

    def axis(self, graph_axis: int) -> int:
        """The tensor axis that holds a graph axis (negative ones count from the end)."""
        return self.axes.index(graph_axis % len(self.axes))


@dataclass(frozen=True)
class Result:
    """Where a node's result goes: behind a fused activation, if it has one.

    Args:
        value: the Graph value that is written.
        params: its parameters.
        low, high: clamp in output codes; a fused activation's bounds, or the type's own.
    """

    value: ir.Value
    params: QuantParams
    low: int
    high: int


class Lowering(Protocol):
    """What `lower` functions may ask of the lowering (see `intaglio.lower`)."""

    rule: Rule
    accumulator: int  # bits that the target has: 32 or 64

    def leading(self, size: int) -> int:
        """A leading size for a Reshape: -1 where it is the batch of a batched program."""

    def operand(self, value: ir.Value | None, axes: Axes | None = None, rank: int | None = None) -> Placed:
        """A value as a Program tensor: computed, or a SIDE constant.

        `axes` asks for an order of axes, `rank` for leading axes of size 1. A transposition is emitted only where
        memory order really changes.
        """

    def integers(self, name: str, array: NDArray[Any], axes: Axes, type: IntType) -> Placed:
        """A constant of integers that is no value of the Graph; `array` has the order of `axes`."""

    def matrix_operand(self, value: ir.Value | None, size: int) -> tuple[Placed, NDArray[np.int64] | None]:
        """The left side (..., K) of a product with constant weights, and the order of its features.

        A flattened image stays channels-last: `tensor[..., j] == value[..., order[j]]`; None is the natural order.
        """

    def weight(self, value: ir.Value | None) -> tuple[NDArray[Any], QuantParams]:
        """Codes of a constant (graph layout) and their parameters."""

    def bias(self, value: ir.Value | None, channels: int) -> NDArray[np.int64]:
        """Codes of a bias on its derived grid, (channels,), zeros when there is none."""

    def result(self, node: ir.Node, index: int = 0) -> Result:
        """Where a quantized output of the node goes."""

    def emit(self, node: ir.Node, operator: Operator, inputs: Sequence[Placed], value: ir.Value, axes: Axes) -> None:
        """Append an operator whose output stands for a Graph value stored with these axes."""

    def step(
        self,
        node: ir.Node,
        operator: Operator,
        inputs: Sequence[Placed],
        params: QuantParams | None,
        axes: Axes | None = None,
    ) -> Placed:
        """Append an operator whose output is in between and stands for no Graph value."""

    def alias(self, value: ir.Value, placed: Placed, axes: Axes) -> None:
        """Let a value be a tensor that exists already, read with these axes; nothing is emitted."""


FLOAT_OPERATORS: dict[str, type[FloatOperator]] = {}
INDEX_OPERATORS: dict[str, type[FloatOperator]] = {}
"""Operators with another class for results that are plain integers: indices and what they are computed from."""


class FloatOperator:
    """One ONNX operator, or a few that share their meaning, in their newest form.

    Attributes:
        op_types: their ONNX names.
        fixed: positions of the inputs that say what is computed (axes, sizes, indices): `real` reads them from the
            Graph, so that they have to be constants. Which others have to be for integers, the contract's roles say.
        integers: positions of operands that may hold integers or booleans which are no quantized numbers.
        results: how many outputs `real` computes; None for as many as the node has.
        of_indices: whether the class is for results of int32 and int64 only; another class has the real numbers.
    """

    op_types: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[tuple[int, ...]] = ()
    integers: ClassVar[tuple[int, ...]] = ()
    results: ClassVar[int | None] = 1
    of_indices: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = INDEX_OPERATORS if cls.of_indices else FLOAT_OPERATORS
        for op_type in cls.op_types:
            assert op_type not in table, op_type
            table[op_type] = cls

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Refuse a form of the operator that not even `real` computes.

        Raises:
            UnsupportedOperatorError: naming the node and what it has that is not supported.
        """

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        """The operator over real numbers; differentiable where mathematics is."""
        raise AssertionError(cls)

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """What quantization may do around this node."""
        raise AssertionError(cls)

    @classmethod
    def unary(cls, node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator | None:
        """The integer operator of a node whose results depend on one quantized number each; None for other nodes.

        `lower` emits it, and the simulator looks results up in it: both give the same numbers.

        Args:
            node: with one computed input.
            x: parameters of that input, one scale.
            result: where the result goes.
            rule: of rounding.
        Raises:
            LoweringError: there is none for these parameters.
        """
        return None

    @classmethod
    def unary_axis(cls, node: ir.Node) -> int | None:
        """The graph axis of channels that have a function each (the last one of `unary`'s operator); None for one."""
        return None

    @classmethod
    def exactly(cls, node: ir.Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The function that `unary` makes a table of, in float64; x ascends, (K,)."""
        raise AssertionError(cls)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """Emit the integer operators of this node."""
        raise AssertionError(cls)


def known_operator(node: ir.Node) -> type[FloatOperator] | None:
    """The operator of a node, whatever form of it the node has; None if there is none of its name."""
    if node.domain not in ("", "ai.onnx") and not is_loop(node):
        return None
    operator = FLOAT_OPERATORS.get(node.op_type)
    if node.outputs[0].dtype in (ir.DataType.INT32, ir.DataType.INT64):
        return INDEX_OPERATORS.get(node.op_type, operator)
    return operator


def float_operator(node: ir.Node) -> type[FloatOperator]:
    """The operator of a node.

    Raises:
        UnsupportedOperatorError: no operator of that name is known, or it does not compute this form of it.
    """
    operator = known_operator(node)
    if operator is None:
        name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        advice = INSTEAD.get(
            name, "`intaglio inspect MODEL` lists every operator of a model; replace it, or cut the model before it"
        )
        raise UnsupportedOperatorError(f"[{name} {node.name!r}] this operator is not supported. {advice}")
    require_constants(node, operator.fixed)
    require_real(node, operator.integers)
    if operator.results is not None:
        require_one_result(node)
    operator.check(node)
    return operator


def contract_of(node: ir.Node) -> Contract:
    """The contract of a node whose operands are constant wherever it counts on that.

    Raises:
        UnsupportedOperatorError: no integers can do what the node does; the text names node and operand.
    """
    contract = float_operator(node).contract(node)
    roles = (*contract.roles, *(Role.OFFLINE,) * (len(node.inputs) - len(contract.roles)))
    require_constants(node, (i for i in range(len(node.inputs)) if roles[i] is not Role.ACTIVATION))
    return contract
