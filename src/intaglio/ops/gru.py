"""Gated recurrent unit.   h' = z h + (1 - z) g"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph.access import attribute
from intaglio.number import QuantParams
from intaglio.ops.recurrent import QuantizedLoop, Recurrent, Step, clipped, state_grid
from intaglio.program.operators.gru import Gru as IntegerGru


class Gru(Recurrent):
    """ONNX GRU."""

    op_types = ("GRU",)
    wide_inputs = (0, 3)

    @classmethod
    def step(cls, node: ir.Node, weight: Tensor, bias: Tensor) -> Step:
        """Gates in ONNX's order: z, r, g."""
        clip, size = clipped(node), weight.shape[1]
        linear = attribute(node, "linear_before_reset", 0)

        def step(x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (hidden,) = states
            x = x + bias[: 3 * size]
            z, r = torch.sigmoid(clip(x[:, : 2 * size] + hidden @ weight[: 2 * size].T)).chunk(2, 1)
            last = weight[2 * size :].T
            after = r * (hidden @ last + bias[3 * size :]) if linear else (r * hidden) @ last
            return (z * hidden + (1 - z) * torch.tanh(clip(x[:, 2 * size :] + after)),)

        return step

    @classmethod
    def state_params(cls, made_of: QuantizedLoop) -> tuple[QuantParams, ...]:
        """The state's."""
        return (state_grid(made_of.outputs[1]),)

    @classmethod
    def integer_operator(cls, node: ir.Node, made_of: QuantizedLoop) -> IntegerGru:
        """One `gru`."""
        return IntegerGru.from_real(
            made_of.x,
            made_of.weight,
            made_of.outputs[0],
            made_of.outputs[1],
            made_of.codes,
            made_of.bias,
            made_of.rule,
            linear_before_reset=bool(attribute(node, "linear_before_reset", 0)),
            state_start=made_of.initial[0],
            reverse=bool(attribute(node, "reverse", 0)),
            states=made_of.states,
            clip=attribute(node, "clip"),
            accumulator=made_of.accumulator,
        )
