"""Run a network once for each layer, with that layer switched between real and rounded, and share the common part.

The base run has all layers real (or all rounded). At each layer a branch starts, which takes this layer from the other
side and all later layers from the base side. Everything before the layer is computed once. Memory: twice the values
that are alive at one place in the network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.search.layer_groups import LayerGroup
from intaglio.simulate import Simulator

Values = dict[str, Tensor]


class Branches:
    """Two simulators of the same network, mixed layer by layer.

    Args:
        base: simulator of all layers but one.
        other: simulator of that one layer.
        wanted: names of the values that each run returns.
    Raises:
        UsageError: the two simulators have different nodes.
    """

    def __init__(self, base: Simulator, other: Simulator, wanted: Collection[str]) -> None:
        self.base, self.other, self.wanted = base, other, set(wanted)
        ours, theirs = ([str(call.node.name) for call in side.calls] for side in (base, other))
        if ours != theirs or base.input_names != other.input_names:
            different = next((f"{a!r} and {b!r}" for a, b in zip(ours, theirs, strict=False) if a != b), "their number")
            raise UsageError(
                f"reference: expected the nodes of the quantized network, got others ({different}); give the network "
                "from which the Plan was made"
            )

    @torch.no_grad()
    def run(
        self, feed: Mapping[str, Tensor], layers: Sequence[LayerGroup]
    ) -> Iterator[tuple[LayerGroup | None, Values]]:
        """Run one batch; yield the wanted values with each layer from the other side, then of the base alone (None)."""
        base = self.base
        values = {name: _rounded(base, name, feed[name]) for name in base.input_names}
        for layer in layers:
            if not layer.nodes:
                changed = {**values, layer.value: _rounded(self.other, layer.value, feed[layer.value])}
                yield layer, self._finish(changed, 0, layer)
        for at in range(len(base.calls)):
            for layer in layers:
                if layer.nodes and layer.first == at:
                    yield layer, self._finish(dict(values), at, layer)
            self._step(base, at, values)
        yield None, {name: values[name] for name in self.wanted}

    def _finish(self, values: Values, start: int, layer: LayerGroup) -> Values:
        """Run from a node to the end, with one layer from the other side."""
        for at in range(start, len(self.base.calls)):
            self._step(self.other if at in layer.nodes else self.base, at, values)
        return {name: values[name] for name in self.wanted}

    def _step(self, side: Simulator, at: int, values: Values) -> None:
        """Run one node with one side's constants and rounding."""
        call = side.calls[at]
        arguments = [
            None if n is None else side.constants[n] if n in side.constants else values[n] for n in call.inputs
        ]
        for name, result in call.named(call.real(*arguments)):
            values[name] = _rounded(side, name, result)
        for name in self.base.calls[at].done:
            if name not in self.wanted:
                values.pop(name, None)


def _rounded(side: Simulator, name: str, x: Tensor) -> Tensor:
    quantizer = side.round.get(name)
    return x if quantizer is None else quantizer(x)
