"""Pictures of ten shapes, drawn from a seed: 32 x 32 pixels, in any position, size, direction and colour, with noise.

Nothing here depends on the last bit of a float: pixels are rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from intaglio.data.images import Preprocess

Field = npt.NDArray[np.float64]
Pictures = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SIZE = 32
MEAN, STD = 0.5, 0.25
"""The network's input is (pixel / 255 - MEAN) / STD."""
SEEDS = {"calib": 1, "test": 2, "train": 3}
NOISE = 10, 50
"""The noise of a picture is uniform in -n..n levels of 0..255, n between these."""
CONTRAST = 150
"""Least distance between the colours of shape and background, in levels."""


def _convex(u: Field, v: Field, sides: int, inradius: float) -> Field:
    angles = 2 * np.pi * np.arange(sides) / sides
    y: Field = np.max([u * np.cos(a) + v * np.sin(a) for a in angles], axis=0) - inradius
    return y


def _star(u: Field, v: Field) -> Field:
    # Fold the plane onto half of one point, then measure from the line between an outer and an inner corner.
    half = np.pi / 5
    angle = np.abs((np.arctan2(v, u) + half) % (2 * half) - half)
    radius = np.hypot(u, v)
    outer, inner = np.array([1.1, 0.0]), 0.45 * np.array([np.cos(half), np.sin(half)])
    edge = (inner - outer) / np.hypot(*(inner - outer))
    y: Field = (radius * np.cos(angle) - outer[0]) * edge[1] - (radius * np.sin(angle) - outer[1]) * edge[0]
    return y


def _heart(u: Field, v: Field) -> Field:
    side = 0.55
    lobes = np.minimum(np.hypot(u + side, v), np.hypot(u, v + side)) - side
    y: Field = np.minimum(np.maximum(np.abs(u), np.abs(v)) - side, lobes)
    return y


SHAPES: dict[str, Callable[[Field, Field], Field]] = {
    "arrow": lambda u, v: np.minimum(np.maximum(np.abs(v) - 0.2, np.abs(u + 0.4) - 0.6), _convex(0.3 - u, v, 3, 0.35)),
    "bars": lambda u, v: np.maximum(np.abs(np.abs(v) - 0.5) - 0.25, np.abs(u) - 0.9),
    "circle": lambda u, v: np.hypot(u, v) - 0.9,
    "crescent": lambda u, v: np.maximum(np.hypot(u, v) - 1, 0.8 - np.hypot(u - 0.5, v)),
    "cross": lambda u, v: np.maximum(np.minimum(np.abs(u), np.abs(v)) - 0.25, np.maximum(np.abs(u), np.abs(v)) - 1),
    "heart": _heart,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.75) - 0.22,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.8,
    "star": _star,
    "triangle": lambda u, v: _convex(u, v, 3, 0.55),
}
"""Class -> signed distance from the shape's edge, about (0, 0) with a radius of about 1; negative inside."""


def drawn_pictures(part: str, count: int) -> tuple[Pictures, Labels]:
    """Draw pictures of all classes in turn.

        pixel = background + (colour - background) * coverage + noise

    Args:
        part: "calib", "test" or "train"; each has a seed of its own.
        count: number of pictures.
    Returns:
        Pictures, uint8 (count, 32, 32, 3), and classes, the places in `SHAPES`.
    """
    rng = np.random.default_rng(SEEDS[part])
    labels = np.arange(count, dtype=np.int64) % len(SHAPES)
    draw = list(SHAPES.values())
    return np.stack([_picture(rng, draw[label]) for label in labels]), labels


def picture_inputs(pictures: Pictures) -> npt.NDArray[np.float32]:
    """Return the network's inputs, (n, 3, 32, 32), as the data descriptor of the sample makes them."""
    normalized = Preprocess(mean=(MEAN,) * 3, std=(STD,) * 3).normalize(pictures.astype(np.float32))
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))


def _picture(rng: np.random.Generator, shape: Callable[[Field, Field], Field]) -> Pictures:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius, turn = rng.uniform(9, 13), rng.uniform(0, 2 * np.pi)
    across, down = rng.uniform(-1, 1, 2) * (SIZE / 2 - radius)
    stretch = rng.uniform(0.85, 1.15)
    u = (np.cos(turn) * (x - across) + np.sin(turn) * (y - down)) / radius * stretch
    v = (np.cos(turn) * (y - down) - np.sin(turn) * (x - across)) / radius / stretch
    coverage = np.clip(0.5 - shape(u, v) * radius, 0, 1)[..., None]
    first, second = rng.uniform(0, 255, (2, 3))
    slope = (x * np.cos(turn) + y * np.sin(turn))[..., None] / SIZE + 0.5
    background = first + (second - first) * slope * 0.3
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - background.mean((0, 1))).sum() < CONTRAST:
        colour = rng.uniform(0, 255, 3)
    noise = rng.uniform(*NOISE) * rng.uniform(-1, 1, (SIZE, SIZE, 3))
    mixed = background + (colour - background) * coverage + noise
    pixels: Pictures = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return pixels
