"""GridSample with a constant grid: each element of the result is a weighted sum of a few elements of the input."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from intaglio.frontends.rewrites.rewriting import Rewriting, constant_input
from intaglio.frontends.rewrites.selection import select
from intaglio.graph.access import Array, attribute, shape

_MODES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
_AT_ONCE = 1 << 24


def grid_sample(to: Rewriting) -> None:
    """Rewrite GridSample of images with a constant grid -> Gather and a product with constant weights."""
    grid, source = constant_input(to.node, 1), to.input(0)
    mode = _MODES.get(str(attribute(to.node, "mode", "linear")))
    if grid is None or mode is None or grid.ndim != 4 or (grid != grid[:1]).any():
        return
    n, channels, *size = shape(source)
    padding, corners = str(attribute(to.node, "padding_mode", "zeros")), bool(attribute(to.node, "align_corners", 0))
    places, weights = _taps(grid[:1], size, mode, padding, corners)
    points, taps = places.shape
    target = shape(to.node.outputs[0])
    if taps == 1 and (weights == 1).all():
        offsets = np.arange(n * channels).reshape(n, channels, 1) * math.prod(size)
        to.finish(select(to, source, (offsets + places[:, 0]).reshape(target)))
        return
    flat = to.transpose(to.reshape(source, (n, channels, math.prod(size))), (0, 2, 1))
    found = to.gather(flat, 1, places)  # (N, points, taps, C)
    rows = to.transpose(found, (0, 1, 3, 2))
    sums = to.apply("MatMul", rows, to.array(weights.reshape(1, points, taps, 1), "weights"))
    to.finish(to.reshape(to.transpose(to.reshape(sums, (n, points, channels)), (0, 2, 1)), target))


def _taps(grid: Array, size: list[int], mode: str, padding: str, corners: bool) -> tuple[Array, Array]:
    """Find which elements each result is made of, and their weights: (points, taps) each.

    Sampling is linear in the image: the weight of an element is what the image that is 1 there and 0 elsewhere gives.
    """
    count, points = math.prod(size), grid.shape[1] * grid.shape[2]
    step = max(1, _AT_ONCE // max(count, points))
    rows, columns, weights = [], [], []
    for at in range(0, count, step):
        some = min(step, count - at)
        images = torch.zeros((1, some, count))
        images[0, torch.arange(some), torch.arange(at, at + some)] = 1.0
        found = F.grid_sample(
            images.reshape(1, some, *size),
            torch.as_tensor(grid),
            mode=mode,
            padding_mode=padding,
            align_corners=corners,
        )
        table = found.reshape(some, points).numpy()
        element, point = np.nonzero(table)
        rows.append(point)
        columns.append(element + at)
        weights.append(table[element, point])
    point, element, weight = (np.concatenate(parts) for parts in (rows, columns, weights))
    order = np.argsort(point, kind="stable")
    point, element, weight = point[order], element[order], weight[order]
    used = np.bincount(point, minlength=points)
    taps = max(1, int(used.max()))
    places, factors = np.zeros((points, taps), np.int64), np.zeros((points, taps), np.float32)
    position = np.arange(len(point)) - (np.cumsum(used) - used)[point]
    places[point, position], factors[point, position] = element, weight
    return places, factors
