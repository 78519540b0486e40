"""Shift the biases of a block's layers so that channel means equal those of the float network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.operators import facts
from intaglio.recover.im2col import weight_index
from intaglio.recover.sequential_reconstruction import BlockStage
from intaglio.recover.weight_codes import Rounded


def centre(
    stage: BlockStage, network: Rounded, names: Sequence[str], weights: Mapping[str, Tensor]
) -> dict[str, NDArray[Any]]:
    """Shift the biases of layers, one after another, so that channel means equal those of the float network.

    Args:
        stage: the block.
        network: the quantized network; changed in place.
        names: names of the layers, in order.
        weights: weights to use instead of the network's own, by name.
    Returns:
        The shift of each layer's bias, (O,).
    """
    want = _means(stage, None, names, {})
    shifts = {}
    for name in names:
        node = network.layers[name]
        index = weight_index(node)
        got = _means(stage, network, [name], weights)[name]
        groups, _, outer = index.shape
        _, scale, _, _ = network.grid(name, index)
        shift = (want[name] - got).float().reshape(groups, 1, outer)
        shift = network.fitting(name, shift, network.bias(name, index), scale)
        shifts[name] = shift.reshape(-1).double().cpu().numpy()
        network.move_bias(name, shifts[name])
    return shifts


def _means(
    stage: BlockStage, network: Rounded | None, names: Sequence[str], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Measure the mean of each output channel, (O,) float64, in the float network (None) or a quantized one."""
    simulator = stage.real if network is None else network.quantized
    given = stage.real_given if network is None else stage.given
    layers = stage.network.layers
    results = {str(layers[name].outputs[0].name): name for name in names}
    calls = stage.network.quantized.calls
    last = 1 + max(i for i in range(stage.block.start, stage.block.stop) if calls[i].node.name in names)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    with torch.no_grad():
        for _, values in given.batches(simulator.device):
            found = simulator.span(stage.block.start, last, values, list(results), constants=weights)
            for value, name in results.items():
                axis = 1 if facts(layers[name].op_type).channels_first else -1
                x = found[value].transpose(axis, -1).reshape(-1, found[value].shape[axis])
                sums[name] = sums.get(name, 0) + x.sum(dim=0, dtype=torch.float64)
                counts[name] = counts.get(name, 0) + len(x)
    return {name: total / counts[name] for name, total in sums.items()}
