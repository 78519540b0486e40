"""Long short-term memory.   c' = f c + i g,   h' = o tanh(c')"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.number import QuantParams
from intaglio.ops.recurrent import QuantizedLoop, Recurrent, Step, clipped, state_grid
from intaglio.program.operators.lstm import Lstm as IntegerLstm


class Lstm(Recurrent):
    """ONNX LSTM without peepholes."""

    op_types = ("LSTM",)
    wide_inputs = (0, 4)

    @classmethod
    def step(cls, node: ir.Node, weight: Tensor, bias: Tensor) -> Step:
        """Gates in ONNX's order: i, o, f, g."""
        clip = clipped(node)

        def step(x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            hidden, cell = states
            i, o, f, g = clip(x + hidden @ weight.T + bias).chunk(4, 1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(cell), cell

        return step

    @classmethod
    def state_params(cls, made_of: QuantizedLoop) -> tuple[QuantParams, ...]:
        """The hidden state's own, and the cell state's."""
        return made_of.outputs[0], state_grid(made_of.outputs[1])

    @classmethod
    def integer_operator(cls, node: ir.Node, made_of: QuantizedLoop) -> IntegerLstm:
        """One `lstm`."""
        return IntegerLstm.from_real(
            made_of.x,
            made_of.weight,
            made_of.outputs[0],
            made_of.outputs[1],
            made_of.codes,
            made_of.bias,
            made_of.rule,
            start=made_of.initial[0],
            state_start=made_of.initial[1],
            reverse=bool(attribute(node, "reverse", 0)),
            states=made_of.states,
            clip=attribute(node, "clip"),
            accumulator=made_of.accumulator,
        )
