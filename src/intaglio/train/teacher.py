"""Float network as a teacher for distillation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from intaglio.graph import Graph
from intaglio.simulate import Simulator
from intaglio.simulate.by_sample import by_sample
from intaglio.simulate.simulator import Observe


class FloatModule(nn.Module):
    """Graph computed in real numbers, without parameters and without gradients.

    Its values have the same names as in the `QuantizedModule` of the same Graph, so features can be compared by name
    (see `distill.capture`).

    Args:
        graph: the prepared network, such as `QuantizedModule.graph` with its initial weights.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.observe: Observe | None = None
        self._simulators: dict[torch.device, Simulator] = {}  # by device

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Any:
        """Run on real inputs in the Graph's order; return one output, or a tuple if there are several."""
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
