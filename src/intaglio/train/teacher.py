"""The float network as a teacher: the Graph that a quantized one began as, in real numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from intaglio.graph import Graph
from intaglio.simulate import Simulator
from intaglio.simulate.by_sample import by_sample
from intaglio.simulate.simulator import Observe


class FloatModule(nn.Module):
    """A Graph in real numbers; it has no parameters and computes without gradients.

    Its values have the names that they have in the `QuantizedModule` of the same Graph, so features of both can be
    compared by name (see `distill.capture`).

    Args:
        graph: in normal form, such as `QuantizedModule.graph`, whose weights are those that training began with.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.observe: Observe | None = None
        self._simulators: dict[torch.device, Simulator] = {}  # the constants, by device

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Any:
        """Real inputs in the Graph's order to one output, or a tuple of them."""
        device = inputs[0].device
        if device not in self._simulators:
            self._simulators[device] = Simulator(self.graph, None, device)
        simulator = self._simulators[device]

        def run(*x: Tensor) -> tuple[Tensor, ...]:
            found = simulator(dict(zip(simulator.input_names, x, strict=True)), self.observe)
            return tuple(found[name] for name in simulator.output_names)

        shapes = simulator.single_shapes
        outputs = run(*inputs) if shapes is None else by_sample(run, shapes, inputs)
        return outputs[0] if len(outputs) == 1 else outputs
