"""Layers that loop over time: LSTM, GRU and RNN, in the form of `graph.time_loops`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, rank, where
from intaglio.graph.time_loops import STATES, is_loop, refusal
from intaglio.number import INT16, QuantParams, Rule
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering, Placed
from intaglio.program.factors import same_params
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.slice import Slice
from intaglio.program.recurrence import ONE, Recurrence, state_bits

Array = NDArray[Any]
Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]
_NATURAL = (0, 1, 2)
_BIAS, _STATE = 2, 3


@dataclass(frozen=True, eq=False)
class QuantizedLoop:
    """What a loop in integers is made of.

    Args:
        x, weight: parameters of the product with the data, and of the recurrent weights.
        outputs: parameters of hidden states, and of cell states.
        codes: of the recurrent weights.
        bias: real.
        initial: real initial states that all samples share, (H,); None: zeros, or inputs.
        rule, accumulator: of the target.
        states: whether the 16-bit states are read.
    """

    x: QuantParams
    weight: QuantParams
    outputs: tuple[QuantParams, ...]
    codes: Array
    bias: Array
    initial: tuple[Array | None, ...]
    rule: Rule
    accumulator: int
    states: bool


class Recurrent(FloatOperator):
    """What the layers share."""

    results = None
    wide_inputs: ClassVar[tuple[int, ...]] = (0,)

    @classmethod
    def check(cls, node: ir.Node) -> None:
        """Refuse ONNX's own layer, which the front end has left because of its form."""
        if not is_loop(node):
            raise UnsupportedOperatorError(f"{where(node)} {refusal(node)}")

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """The product with the data and states of 16 bits stay in 16 bits, as rounding adds up over the steps."""
        initial = [
            Role.OFFLINE if constant(input_value(node, _STATE + k)) is not None else Role.ACTIVATION
            for k in range(STATES[node.op_type])
        ]
        return Contract(
            (Role.ACTIVATION, Role.WEIGHT, Role.OFFLINE, *initial),
            weight_axis=0,
            learns=(_BIAS,),
            wide_inputs=cls.wide_inputs,
            state_outputs=tuple(range(1, len(node.outputs))),
        )

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        """All steps."""
        x, weight, bias, *initial = inputs
        assert x is not None and weight is not None and bias is not None
        size = weight.shape[1]
        given = (*initial, *[None] * (STATES[node.op_type] - len(initial)))
        states = tuple(x.new_zeros(len(x), size) if s is None else s.expand(len(x), size) for s in given)
        step = cls.step(node, weight, bias)
        order = range(x.shape[1])[:: -1 if attribute(node, "reverse", 0) else 1]
        found: list[tuple[Tensor, ...]] = []
        for t in order:
            states = step(x[:, t], states)
            found.append(states)
        if attribute(node, "reverse", 0):
            found.reverse()
        outputs = tuple(torch.stack(every, 1) for every in zip(*found, strict=True))
        return (*outputs, *outputs)[: len(node.outputs)]

    @classmethod
    @abstractmethod
    def step(cls, node: ir.Node, weight: Tensor, bias: Tensor) -> Step:
        """One step over real numbers: product with the data, (N, K), and states to the new states, (N, H) each."""

    @classmethod
    def integer_operator(cls, node: ir.Node, made_of: QuantizedLoop) -> Recurrence:
        """Make the integer operator.

        Raises:
            LoweringError: there is none for these parameters.
        """
        raise AssertionError(cls)

    @classmethod
    def state_params(cls, made_of: QuantizedLoop) -> tuple[QuantParams, ...]:
        """The parameters that the integer operator takes initial states in."""
        raise AssertionError(cls)

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One loop; hidden states and 16-bit states are parts of its result where both are read."""
        codes, weight = to.weight(node.inputs[1])
        x = to.operand(node.inputs[0], axes=_NATURAL)
        results = [to.result(node, index) for index in range(len(node.outputs))]
        bias = constant(node.inputs[_BIAS])
        assert bias is not None
        given = [input_value(node, _STATE + k) for k in range(STATES[node.op_type])]
        states = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
        made_of = QuantizedLoop(
            x.quant,
            weight,
            tuple(result.params for result in results),
            np.ascontiguousarray(codes),
            bias,
            tuple(constant(value) for value in given),
            to.rule,
            to.accumulator,
            states,
        )
        operator = cls.integer_operator(node, made_of)
        inputs = [x]
        for value, params in zip(given, cls.state_params(made_of), strict=True):
            if value is not None and constant(value) is None:
                inputs.append(_on_grid(node, to, to.operand(value, axes=tuple(range(rank(value)))), params))
        hidden = results[0]
        if not states:
            to.emit(node, operator, inputs, hidden.value, _NATURAL)
            return
        both, steps = to.step(node, operator, inputs, None), x.shape[1]
        if hidden.params.type == INT16:
            to.emit(node, _rows(0, steps), [both], hidden.value, _NATURAL)
        else:
            wide = QuantParams(INT16, hidden.params.scale, hidden.params.zero_point)
            rows = to.step(node, _rows(0, steps), [both], wide)
            to.emit(node, Requantize.from_real(wide, hidden.params, rule=to.rule), [rows], hidden.value, _NATURAL)
        to.emit(node, _rows(steps, 2 * steps), [both], results[1].value, _NATURAL)


def _rows(start: int, stop: int) -> Slice:
    return Slice(axes=(1,), starts=(start,), stops=(stop,), steps=(1,))


def _on_grid(node: ir.Node, to: Lowering, state: Placed, params: QuantParams) -> Placed:
    """Bring an initial state to the grid that the loop takes it in."""
    if state.type == params.type and same_params(state.quant, params):
        return state
    operator = Requantize.from_real(state.quant, params, rule=to.rule)
    return to.step(node, operator, [state], params, state.axes)


def state_grid(params: QuantParams) -> QuantParams:
    """The grid of a 16-bit state inside the loop: not finer than 2**-15."""
    return QuantParams(INT16, np.float32(2.0 ** -min(state_bits(params), ONE)))  # type: ignore[arg-type]


def clipped(node: ir.Node) -> Callable[[Tensor], Tensor]:
    """Return the function that limits the gates' sums."""
    bound = attribute(node, "clip")
    return (lambda x: x) if bound is None else (lambda x: x.clamp(-bound, bound))
