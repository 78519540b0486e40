"""Elman's recurrent layer.   h' = f(x + R h + b)"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.number import QuantParams
from intaglio.ops.recurrent import QuantizedLoop, Recurrent, Step, clipped
from intaglio.program.operators.rnn import Rnn as IntegerRnn


class Rnn(Recurrent):
    """ONNX RNN with tanh or a rectifier."""

    op_types = ("RNN",)

    @classmethod
    def step(cls, node: ir.Node, weight: Tensor, bias: Tensor) -> Step:
        """One gate."""
        clip = clipped(node)
        function = torch.relu if attribute(node, "activation") == "Relu" else torch.tanh

        def step(x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (function(clip(x + states[0] @ weight.T + bias)),)

        return step

    @classmethod
    def state_params(cls, made_of: QuantizedLoop) -> tuple[QuantParams, ...]:
        """The hidden state's own."""
        return made_of.outputs

    @classmethod
    def integer_operator(cls, node: ir.Node, made_of: QuantizedLoop) -> IntegerRnn:
        """One `rnn`."""
        return IntegerRnn.from_real(
            made_of.x,
            made_of.weight,
            made_of.outputs[0],
            made_of.codes,
            made_of.bias,
            made_of.rule,
            rectifier=attribute(node, "activation") == "Relu",
            start=made_of.initial[0],
            reverse=bool(attribute(node, "reverse", 0)),
            clip=attribute(node, "clip"),
            accumulator=made_of.accumulator,
        )
