"""Granularity: how many elements share one scale and zero point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import UsageError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole tensor; parameters have shape ()."""

    def param_shape(self, shape: Shape) -> Shape:
        """Shape of the parameters of a tensor of `shape`."""
        return ()

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Parameters as an array that broadcasts against a tensor of `shape`."""
        return params

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """The tensor as `param_shape + (elements that share a parameter,)`."""
        return x.reshape(-1)


@dataclass(frozen=True)
class PerChannel:
    """One scale per index of `axis`; parameters have shape (shape[axis],)."""

    axis: int = 0

    def param_shape(self, shape: Shape) -> Shape:
        """Shape of the parameters of a tensor of `shape`."""
        return (shape[_axis(self.axis, shape)],)

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Parameters as an array that broadcasts against a tensor of `shape`."""
        axis = _axis(self.axis, shape)
        return params.reshape([-1 if i == axis else 1 for i in range(len(shape))])

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """The tensor as `param_shape + (elements that share a parameter,)`."""
        axis = _axis(self.axis, x.shape)
        return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


@dataclass(frozen=True)
class PerGroup:
    """One scale per `size` neighbours along `axis`, and per index of every other axis (block quantization).

    Parameters have the tensor's shape with `shape[axis]` replaced by the number of groups; the last group
    may be short.
    """

    axis: int
    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"PerGroup: expected a group size of at least 1, got {self.size}")

    def param_shape(self, shape: Shape) -> Shape:
        """Shape of the parameters of a tensor of `shape`."""
        axis = _axis(self.axis, shape)
        return (*shape[:axis], math.ceil(shape[axis] / self.size), *shape[axis + 1 :])

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """Parameters repeated to the tensor's own `shape`."""
        axis = _axis(self.axis, shape)
        return np.repeat(params, self.size, axis=axis).take(range(shape[axis]), axis=axis)

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """The tensor as `param_shape + (size,)`; a short last group is filled with its own last element."""
        axis = _axis(self.axis, x.shape)
        groups = math.ceil(x.shape[axis] / self.size)
        index = np.minimum(np.arange(groups * self.size), x.shape[axis] - 1)
        full = np.moveaxis(x.take(index, axis=axis), axis, -1)
        return np.moveaxis(full.reshape(*full.shape[:-1], groups, self.size), -2, axis)


@dataclass(frozen=True)
class PerElement:
    """One scale per element; parameters have the tensor's shape. Of use for analysis, no kernel takes it."""

    def param_shape(self, shape: Shape) -> Shape:
        """Shape of the parameters of a tensor of `shape`."""
        return shape

    def expand(self, params: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The parameters themselves."""
        return params

    def blocks(self, x: NDArray[Any]) -> NDArray[Any]:
        """The tensor as `shape + (1,)`."""
        return x[..., np.newaxis]


Granularity = PerTensor | PerChannel | PerGroup | PerElement


def granularity_to_json(granularity: Granularity) -> dict[str, Any]:
    """A granularity as plain data: `{"per": "channel", "axis": 0}`."""
    match granularity:
        case PerTensor():
            return {"per": "tensor"}
        case PerChannel(axis):
            return {"per": "channel", "axis": axis}
        case PerGroup(axis, size):
            return {"per": "group", "axis": axis, "size": size}
        case PerElement():
            return {"per": "element"}


def granularity_from_json(data: dict[str, Any]) -> Granularity:
    """Read what `granularity_to_json` wrote.

    Raises:
        UsageError: the data name no granularity.
    """
    match data:
        case {"per": "tensor"}:
            return PerTensor()
        case {"per": "channel", "axis": int(axis)}:
            return PerChannel(axis)
        case {"per": "group", "axis": int(axis), "size": int(size)}:
            return PerGroup(axis, size)
        case {"per": "element"}:
            return PerElement()
        case _:
            raise UsageError(f"granularity: expected per tensor, channel, group or element, got {data!r}")


def _axis(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise UsageError(f"granularity: axis {axis} is outside a tensor of shape {shape}")
    return axis % len(shape)
