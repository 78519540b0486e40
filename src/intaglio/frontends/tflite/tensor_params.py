"""Read the scales and zero points of a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ModelError

_RANGES = {"INT4": (-8, 7), "INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "UINT16": (0, 65535)}


@dataclass(frozen=True, eq=False)
class TfliteParams:
    """Quantization parameters.

    Args:
        scale: float32, (channels,) or (1,).
        zero_point: int64, as many.
        axis: of the channels; None for one scale.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int | None

    def moved(self, perm: tuple[int, ...]) -> TfliteParams:
        """Return the parameters of the tensor transposed by `perm`."""
        return TfliteParams(self.scale, self.zero_point, None if self.axis is None else perm.index(self.axis))


def read_parameters(table: Any, name: str, kind: str, shape: list[int]) -> TfliteParams | None:
    """Read the parameters of a tensor's table; None where it has none, as those with ranges only.

    Raises:
        ModelError: their number, an axis or a zero point does not fit the tensor.
    """
    found = table.Quantization()
    scale = None if found is None else found.ScaleAsNumpy()
    if found is None or isinstance(scale, int) or scale is None or not scale.size:
        return None
    if kind not in _RANGES:
        return None  # of real numbers they are left over from training; a bias has those of the accumulator
    zero_point = found.ZeroPointAsNumpy()
    zero_point = np.zeros(scale.size, np.int64) if isinstance(zero_point, int) else np.array(zero_point, np.int64)
    scale = np.array(scale, np.float32)
    where = f"tensor '{name}'"
    if zero_point.size not in (1, scale.size):
        raise ModelError(f"{where}: expected as many zero points as scales, got {zero_point.size} and {scale.size}")
    zero_point = np.broadcast_to(zero_point, scale.shape)
    if not (np.isfinite(scale) & (scale > 0)).all():
        bad = scale[~(np.isfinite(scale) & (scale > 0))][0]
        raise ModelError(f"{where}: expected scales above 0, got {bad}; convert the model again")
    low, high = _RANGES[kind]
    if zero_point.min() < low or zero_point.max() > high:
        raise ModelError(
            f"{where}: expected zero points from {low} to {high} for {kind}, got {zero_point.min()} to "
            f"{zero_point.max()}; convert the model again"
        )
    if scale.size == 1:
        return TfliteParams(scale, zero_point, None)
    axis = int(found.QuantizedDimension())
    if not 0 <= axis < len(shape) or shape[axis] != scale.size:
        raise ModelError(
            f"{where}: expected one scale, or as many as an axis has elements, got {scale.size} scales along axis "
            f"{axis} of shape {tuple(shape)}; convert the model again"
        )
    return TfliteParams(scale, zero_point, axis)
