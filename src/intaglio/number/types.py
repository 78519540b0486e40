"""Integer types: how many bits, signed or not, whether the most negative code is left out; and the signs -1 and +1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from intaglio.errors import UsageError

_NAME = re.compile(r"(u?)int(\d+)(n?)")


@dataclass(frozen=True)
class IntType:
    """An integer type of 1 to 16 bits for values and weights (32 for accumulators and biases).

    Args:
        bits: 1 to 16, or 32.
        signed: two's complement when true.
        narrow: leave out the most negative code, so int8 is [-127, 127]; signed types of 2 bits and more only.
        bipolar: one signed bit that stands for -1 or +1, with no code for 0. What is not negative becomes +1. Its zero
            point is 0, which no code stands for.
    Source: Rastegari et al. 2016, arXiv:1603.05279, section 3.1 (bipolar).
    """

    bits: int
    signed: bool = True
    narrow: bool = False
    bipolar: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= 16 or self.bits == 32):
            raise UsageError(f"IntType: expected 1 to 16 bits (or 32 for accumulators), got {self.bits}")
        if self.narrow and (not self.signed or self.bits < 2):
            raise UsageError(
                f"IntType: a narrow range needs a signed type of at least 2 bits, got {self.bits} bits, "
                f"{'signed' if self.signed else 'unsigned'}"
            )
        if self.bipolar and (self.bits != 1 or not self.signed):
            raise UsageError(
                f"IntType: bipolar codes -1 and +1 need a signed type of 1 bit, got {self.bits} bits, "
                f"{'signed' if self.signed else 'unsigned'}"
            )

    @property
    def qmin(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1)) + self.narrow if self.signed else 0

    @property
    def qmax(self) -> int:
        """Largest code."""
        return 1 if self.bipolar else (1 << (self.bits - self.signed)) - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest NumPy integer that holds every code."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")

    @property
    def name(self) -> str:
        """`int8`, `uint4`, `int8n` (narrow), ..., `bipolar`; `IntType.parse` reads it back."""
        if self.bipolar:
            return "bipolar"
        return f"{'' if self.signed else 'u'}int{self.bits}{'n' if self.narrow else ''}"

    def __str__(self) -> str:
        return self.name

    def max_abs_offset(self, zero_point: int = 0) -> int:
        """The largest |q - zero_point| over all codes q."""
        return max(self.qmax - zero_point, zero_point - self.qmin)

    def holds(self, q: NDArray[Any]) -> bool:
        """Whether every element is a code of this type."""
        if self.bipolar:
            return bool((np.abs(q) == 1).all())
        return not q.size or (self.qmin <= int(q.min()) and int(q.max()) <= self.qmax)

    @classmethod
    def of(cls, dtype: DTypeLike) -> IntType:
        """The type of all values of a NumPy integer dtype.

        Raises:
            UsageError: the dtype is no integer of 8, 16 or 32 bits.
        """
        dtype = np.dtype(dtype)
        if dtype.kind not in "iu" or dtype.itemsize > 4:
            raise UsageError(f"integer type: expected int8, uint8, int16, uint16, int32 or uint32, got {dtype}")
        return cls(8 * dtype.itemsize, signed=dtype.kind == "i")

    @classmethod
    def parse(cls, name: str) -> IntType:
        """Read `int8`, `uint8`, `int4n`, `bipolar`.

        Raises:
            UsageError: the name is none of these.
        """
        if name == "bipolar":
            return BIPOLAR
        match = _NAME.fullmatch(name)
        if match is None:
            raise UsageError(
                f"integer type: expected a name such as int8, uint4, int8n (narrow range) or bipolar, got {name!r}"
            )
        return cls(int(match[2]), signed=not match[1], narrow=bool(match[3]))


INT8 = IntType(8)
INT8_NARROW = IntType(8, narrow=True)
UINT8 = IntType(8, signed=False)
INT16 = IntType(16)
INT32 = IntType(32)
BIPOLAR = IntType(1, bipolar=True)
BOOLEAN = IntType(1, signed=False)
