"""Summarize weights by output channel for box plots, before and after equalization.

Source: Nagel et al. 2019, arXiv:1906.04721, figures 2 and 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from intaglio.report.facts import ChannelRanges, Real

if TYPE_CHECKING:  # ONNX is behind these
    from intaglio.graph import Graph
    from intaglio.graph.access import Array
    from intaglio.graph.weights import WeightedProduct

BOXES = 6144  # most boxes in a page, before and after together: about 300 KB of numbers
MOST_LAYERS, FEWEST_CHANNELS, MOST_CHANNELS = 192, 16, 128
_QUARTILES = (0, 25, 50, 75, 100)


def channel_ranges(graph: Graph, prepared: Graph | None = None) -> list[ChannelRanges]:
    """Return the weight ranges of each layer by output channel.

    Args:
        graph: the float network after equalization, before weights are rounded.
        prepared: the network before equalization; layers are matched by node name.
    Returns:
        One entry for each layer with a constant weight, in the network's order; if there are more than `MOST_LAYERS`,
        those with the largest spread.
    """
    after = _layers(graph)
    before = {} if prepared is None or prepared is graph else _layers(prepared)
    before = {name: made for name, made in before.items() if name in after and made.outputs == after[name].outputs}
    if all(np.array_equal(made.weight, after[name].weight) for name, made in before.items()):
        before = {}  # equalization was reverted or changed nothing
    if len(after) > MOST_LAYERS:
        worst = sorted(after, key=lambda name: -_spread(before.get(name, after[name]).rows))[:MOST_LAYERS]
        after = {name: after[name] for name in after if name in set(worst)}
    room = max(FEWEST_CHANNELS, min(MOST_CHANNELS, BOXES // (2 * max(len(after), 1))))
    return [_ranges(name, made, before.get(name), room) for name, made in after.items()]


def _layers(graph: Graph) -> dict[str, WeightedProduct]:
    """Return layers by node name. Weights are read one layer at a time to keep memory small."""
    from intaglio.graph.weights import product

    return {str(node.name): made for node in graph.nodes if (made := product(node)) is not None}


def _ranges(name: str, layer: WeightedProduct, earlier: WeightedProduct | None, room: int) -> ChannelRanges:
    after, was = layer.rows, None if earlier is None else earlier.rows
    widths = np.ptp(after if was is None else was, axis=1)
    order = np.argsort(-widths, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(room, len(order))).round().astype(int))]
    return ChannelRanges(
        layer=name,
        operator=layer.node.op_type,
        channels=len(after),
        shown=shown,
        before=None if was is None else _boxes(was, shown),
        after=_boxes(after, shown),
        spread_before=None if was is None else _spread(was),
        spread_after=_spread(after),
    )


def _boxes(weights: Array, shown: NDArray[np.int64]) -> Real:
    return np.asarray(np.percentile(weights[shown].astype(np.float64), _QUARTILES, axis=1))


def _spread(weights: Array) -> float:
    """Divide max |w| of the widest channel by that of the median channel; all-zero channels are ignored."""
    sizes = np.abs(weights).max(axis=1)
    middle = float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else 0.0
    return float(sizes.max() / middle) if middle else 1.0
