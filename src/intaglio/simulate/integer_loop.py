"""Simulate layers that loop over time with the integers of the program's operator.

Rounding adds up over the steps, so that a loop over real numbers rounded afterwards would be another network. The
gradient is that of the real loop.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.errors import LoweringError
from intaglio.graph import Graph
from intaglio.graph.access import constant, input_value
from intaglio.graph.time_loops import STATES, is_loop
from intaglio.number import QuantParams
from intaglio.ops import float_operator
from intaglio.ops.recurrent import QuantizedLoop, Recurrent
from intaglio.plan import Plan
from intaglio.program.recurrence import Recurrence


class IntegerLoop:
    """The integer operator of one node, made again when its weights change.

    Args:
        node: of the Graph.
        kind: its float operator.
        plan: with the parameters of its operands and results.
    Raises:
        LoweringError: it has no integer operator, as lowering reports later.
    """

    def __init__(self, node: ir.Node, kind: type[Recurrent], plan: Plan) -> None:
        self.node, self.kind, self.plan = node, kind, plan
        x, weight = (self._params(node.inputs[index]) for index in (0, 1))
        self.x, self.weight = x, weight
        self.outputs = tuple(self._params(value) for value in node.outputs)
        initial = [input_value(node, 3 + k) for k in range(STATES[node.op_type])]
        self.computed = [value is not None and constant(value) is None for value in initial]
        arrays = [constant(value) for value in node.inputs[1:3]]
        self._operator(*(torch.as_tensor(np.array(array)) for array in arrays), *map(_tensor, initial))

    def _params(self, value: ir.Value | None) -> QuantParams:
        params = None if value is None else self.plan.params(str(value.name))
        assert params is not None, value
        return params

    def _operator(self, weight: Tensor, bias: Tensor, *initial: Tensor | None) -> Recurrence:
        shared = [
            None if computed or row is None else row.detach().cpu().numpy()
            for row, computed in zip(initial, self.computed, strict=True)
        ]
        self._made_of = QuantizedLoop(
            self.x,
            self.weight,
            self.outputs,
            self.weight.quantize(weight.detach().cpu().numpy()),
            bias.detach().cpu().numpy(),
            tuple(shared),
            self.plan.rule,
            self.plan.accumulator,
            False,
        )
        return self.kind.integer_operator(self.node, self._made_of)

    def __call__(self, *operands: Tensor | None) -> tuple[Tensor, ...]:
        """Return hidden states and 16-bit states, as real numbers on their grids."""
        x, weight, bias, *initial = operands
        assert x is not None and weight is not None and bias is not None
        initial += [None] * (len(self.computed) - len(initial))
        operator = self._operator(weight, bias, *initial)
        codes = [self.x.quantize(x.detach().cpu().numpy())]
        for row, computed, params in zip(initial, self.computed, self.kind.state_params(self._made_of), strict=True):
            if computed and row is not None:
                codes.append(params.quantize(row.detach().cpu().numpy()))
        results = operator.run(*codes)[: len(self.outputs)]
        return tuple(
            torch.as_tensor(params.dequantize(found), device=x.device)
            for found, params in zip(results, self.outputs, strict=True)
        )


def _tensor(value: ir.Value | None) -> Tensor | None:
    array = constant(value)
    return None if array is None else torch.as_tensor(np.array(array))


def integer_loops(graph: Graph, plan: Plan, chosen: Callable[[str], bool]) -> dict[str, IntegerLoop]:
    """Find the nodes that loop over time and whose operands and results all have parameters, by name.

    Args:
        graph, plan: the network.
        chosen: predicate on value names: which are rounded.
    """
    found = {}
    for node in graph.nodes:
        if not is_loop(node):
            continue
        kind = float_operator(node)
        assert issubclass(kind, Recurrent)
        names = [str(value.name) for value in (node.inputs[0], node.inputs[1], *node.outputs) if value is not None]
        if all(plan.params(name) is not None and chosen(name) for name in names):
            try:
                found[str(node.name)] = IntegerLoop(node, kind, plan)
            except LoweringError:  # lowering reports it
                continue
    return found
