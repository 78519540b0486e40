"""Quantization parameters, and the map between real numbers and integers.

    x = scale * (q - zero_point)            q = clamp(round_half_even(x / scale) + zero_point, qmin, qmax)
    x = scale * q                           q = 1 where x >= 0, else -1                                     (bipolar)

The scale is the size of one step, in real units per step (ONNX, PyTorch and TFLite's convention; Wu et al. 2020,
arXiv:2004.09602, write s for its reciprocal). It is a float32, as in every exchange format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from intaglio.errors import UsageError
from intaglio.number.granularity import (
    Granularity,
    PerTensor,
    granularity_from_json,
    granularity_to_json,
)
from intaglio.number.types import IntType

# A smaller step is lost when its reciprocal, or its product with another scale, leaves float32's normal range.
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)
PER_TENSOR = PerTensor()


class Scheme(Enum):
    """How a range becomes a scale and a zero point."""

    SYMMETRIC = "symmetric"  # zero point 0 (scale quantization); the middle code when the type is unsigned
    ASYMMETRIC = "asymmetric"  # affine quantization; real 0 is exact
    POWER_OF_TWO = "power_of_two"  # symmetric, and the scale is 2**k


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale and zero point of one tensor.

    Args:
        type: the integers' type; bipolar ones have zero point 0.
        scale: float32, shape `granularity.param_shape(tensor shape)`; positive and finite.
        zero_point: int32, the scale's shape; in the type's range.
        granularity: which elements share a parameter.
    Raises:
        UsageError: a scale is zero, negative, NaN, infinite or below the smallest normal float32, or a code of up to 16
            bits stands for a number beyond float32; a zero point is outside the type's range; the shapes differ.
    """

    type: IntType
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32] = field(default_factory=lambda: np.zeros((), np.int32))
    granularity: Granularity = PER_TENSOR

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused below
            scale = np.array(self.scale, np.float32)
        zero_point = np.array(self.zero_point)
        if zero_point.shape != scale.shape:
            zero_point = np.broadcast_to(zero_point, scale.shape)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", zero_point.astype(np.int32))
        if scale.size:
            self._check_scales(scale, zero_point)
            self._check_zero_points(int(zero_point.min()), int(zero_point.max()))

    def _check_scales(self, scale: NDArray[np.float32], zero_point: NDArray[Any]) -> None:
        if not (scale.min() >= SMALLEST_SCALE and scale.max() <= LARGEST):  # NaN is neither
            first = np.flatnonzero(~(np.isfinite(scale) & (scale >= SMALLEST_SCALE)))[0]
            raise UsageError(
                f"scale: expected a finite value of at least {SMALLEST_SCALE:.3g}, got {scale.reshape(-1)[first]!r} "
                f"(index {first}); the range it comes from is empty, not finite or too small for {self.type}"
            )
        if self.type.bits > 16 or float(scale.max()) * 2**17 <= LARGEST:  # no bias comes near it
            return
        offset = zero_point.astype(np.int64)
        steps = np.maximum(np.abs(self.type.qmin - offset), np.abs(self.type.qmax - offset))
        farthest = (steps * scale.astype(np.float64)).reshape(-1)
        if (farthest > LARGEST).any():
            first = np.flatnonzero(farthest > LARGEST)[0]
            raise UsageError(
                f"scale: expected every code of {self.type} to stand for a float32, got {scale.reshape(-1)[first]!r} "
                f"(index {first}), of which a code stands for {farthest[first]:.3g}; scale the data down"
            )

    def _check_zero_points(self, least: int, most: int) -> None:
        if self.type.bipolar and (least, most) != (0, 0):
            raise UsageError(f"zero point: expected 0 for {self.type}, got {least} to {most}")
        if least < self.type.qmin or most > self.type.qmax:
            raise UsageError(
                f"zero point: expected {self.type.qmin} to {self.type.qmax} for {self.type}, got {least} to {most}"
            )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, QuantParams)
            and (self.type, self.granularity) == (other.type, other.granularity)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def symmetric(self) -> bool:
        """Whether every zero point is 0."""
        return not self.zero_point.any()

    @property
    def range(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Smallest and largest real number that the codes stand for, in the scale's shape."""
        zero_point = self.zero_point.astype(np.float32)
        return (self.type.qmin - zero_point) * self.scale, (self.type.qmax - zero_point) * self.scale

    def quantize(self, x: ArrayLike) -> NDArray[Any]:
        """Map real numbers to codes: divide in float32, round half to even, add the zero point, saturate.

        (Codes of more than 16 bits, biases, are divided in float64. A bipolar code is the sign, that of 0 is +1.)

        Args:
            x: real, any shape that fits the granularity.
        Returns:
            Codes of `type.dtype`, shape of x. NaN is refused by whoever reads data, not here.
        """
        # Of up to 16 bits, codes are exact in float32 wherever they do not saturate; those of a bias are not.
        x = np.asarray(x, np.float32).astype(np.float32 if self.type.bits <= 16 else np.float64)
        scale, zero_point = self._expanded(x.shape)
        if self.type.bipolar:
            return np.where(x >= 0, 1, -1).astype(self.type.dtype)
        with np.errstate(over="ignore"):  # x / scale beyond float32 is infinite and saturates below
            q = np.rint(x / scale) + zero_point.astype(x.dtype)
        return np.asarray(np.clip(q, self.type.qmin, self.type.qmax).astype(self.type.dtype))

    def dequantize(self, q: NDArray[Any]) -> NDArray[np.float32]:
        """Map codes to the real numbers that they stand for, float32, shape of q."""
        scale, zero_point = self._expanded(q.shape)
        return (q.astype(np.int32) - zero_point).astype(np.float32) * scale

    def fake_quantize(self, x: ArrayLike) -> NDArray[np.float32]:
        """`dequantize(quantize(x))`."""
        return self.dequantize(self.quantize(x))

    def _expanded(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        want = self.granularity.param_shape(shape)
        if self.scale.shape != want:
            raise UsageError(
                f"scale: {self.granularity} of a tensor of shape {shape} needs shape {want}, got {self.scale.shape}"
            )
        return self.granularity.expand(self.scale, shape), self.granularity.expand(self.zero_point, shape)

    def to_json(self) -> dict[str, Any]:
        """Plain data; float32 scales survive exactly through Python's shortest float text."""
        return {
            "type": self.type.name,
            "granularity": granularity_to_json(self.granularity),
            "scale": self.scale.astype(np.float64).tolist(),
            "zero_point": self.zero_point.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> QuantParams:
        """Read what `to_json` wrote.

        Raises:
            UsageError: the data are no parameters.
        """
        zero_point = np.asarray(data["zero_point"])
        if zero_point.dtype.kind not in "iu":
            raise UsageError(f"zero point: expected integers, got {data['zero_point']!r}")
        if np.asarray(data["scale"]).dtype.kind not in "iuf":
            raise UsageError(f"scale: expected numbers, got {data['scale']!r:.60}")
        scale: Any = np.asarray(data["scale"], np.float64)  # a file may hold what float32 cannot; refused there
        if scale.shape != zero_point.shape and scale.ndim and zero_point.ndim:
            raise UsageError(
                f"zero point: expected as many as scales, got {zero_point.size} beside {scale.size} scales"
            )
        return cls(
            IntType.parse(data["type"]),
            scale,
            zero_point,
            granularity_from_json(data["granularity"]),
        )


def choose_params(
    low: ArrayLike, high: ArrayLike, type: IntType, scheme: Scheme, granularity: Granularity = PER_TENSOR
) -> QuantParams:
    """Turn real ranges into quantization parameters.

    - symmetric: scale = max(|low|, |high|) / qmax, zero point 0 (unsigned types: the range must not go below 0,
      otherwise the zero point is the middle code).
    - asymmetric: the range is widened to contain 0, scale = (high - low) / (qmax - qmin), and the zero point is
      rounded to an integer, so real 0 is exact.
    - power of two: symmetric, and the scale is rounded up to 2**k, so nothing in the range saturates.
    - bipolar types: the bound itself is the scale, or the smallest there is where the bound is 0; asymmetric makes no
      sense for them.

    A constant c (low = high) is represented exactly: scale |c| / qmax, or 1 when c is 0; so is an all-zero range.

    Args:
        low, high: real, the shape of the parameters; low <= high.
        type, scheme, granularity: what to make of them.
    Raises:
        UsageError: a bound is NaN or infinite, or low > high; or the type is bipolar and the scheme asymmetric.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 2; Jain et al. 2020, arXiv:1903.08066 (power of two).
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UsageError(f"range: expected finite bounds, got [{low.min()}, {high.max()}]")
    if (low > high).any():
        raise UsageError(f"range: expected low <= high, got [{low}, {high}]")
    if type.bipolar and scheme is Scheme.ASYMMETRIC:
        raise UsageError(f"scheme: expected symmetric or power_of_two for {type}, got asymmetric")
    constant = (low == high) & (low != 0)
    if scheme is Scheme.ASYMMETRIC:
        return _asymmetric(low, high, constant, type, granularity)
    bound = np.maximum(np.abs(low), np.abs(high))
    if type.signed:
        zero_point, steps = 0, max(type.qmax, 1)
    elif (low >= 0).all():
        zero_point, steps = 0, type.qmax
    else:
        zero_point, steps = 1 << (type.bits - 1), (type.qmax - 1) // 2 if type.bits > 1 else 1
    # No bipolar code stands for 0, so a range of zeros gets the smallest scale, not any.
    scale = np.where(bound > 0, bound / steps, SMALLEST_SCALE if type.bipolar else 1.0)
    if scheme is Scheme.POWER_OF_TWO:
        scale = np.exp2(np.ceil(np.log2(scale)))
    return QuantParams(type, _at_least_smallest(scale), np.full(scale.shape, zero_point), granularity)


def _asymmetric(
    low: NDArray[Any], high: NDArray[Any], constant: NDArray[np.bool_], type: IntType, granularity: Granularity
) -> QuantParams:
    value = low
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    scale = (high - low) / (type.qmax - type.qmin)
    scale = np.where(scale > 0, scale, 1.0)
    # c = scale * (q - z) exactly: the far end of the range is code qmax (or qmin when c < 0), and 0 the other end.
    scale = np.where(constant, np.abs(value) / (type.qmax - type.qmin), scale)
    scale = _at_least_smallest(scale).astype(np.float64)
    zero_point = np.clip(np.rint(type.qmin - low / scale), type.qmin, type.qmax)
    return QuantParams(type, scale.astype(np.float32), zero_point.astype(np.int32), granularity)


def _at_least_smallest(scale: NDArray[Any]) -> NDArray[np.float32]:
    # A range below what float32 can divide by carries no signal: its values all become code 0.
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which QuantParams refuses by name
        return np.asarray(np.maximum(scale, SMALLEST_SCALE), np.float32)
