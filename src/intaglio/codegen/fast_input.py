"""Inputs that are plainly right, the usual case, recognized and quantized within microseconds.

Whatever else comes, right or wrong, goes the interpreter's way (`program.inputs`), which also has the words for errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.call import Library, address
from intaglio.program import TensorInfo

Array = NDArray[Any]


@dataclass(frozen=True)
class FastInput:
    """What a plainly right input looks like.

    Args:
        dtype: of its codes, all of which its type has.
        rest: shape behind the batch.
        grid: name of C's function, scale, zero point, smallest and largest code; None where reals are not quick.
    """

    dtype: np.dtype[Any]
    rest: tuple[int, ...]
    grid: tuple[str, float, int, int, int] | None

    @classmethod
    def of(cls, info: TensorInfo) -> FastInput | None:
        """For a tensor; None where its type does not fill its dtype or it has no batch axis."""
        dtype = np.dtype(info.type.dtype)
        if info.type.bits != 8 * dtype.itemsize or info.shape[:1] != (1,):
            return None
        grid = None
        if info.params is not None and info.params.scale.ndim == 0 and info.type.bits <= 16:
            name = f"ig_library_quantize_{'s' if info.type.signed else 'u'}{info.type.bits}"
            p = info.params
            grid = (name, float(p.scale), int(p.zero_point), p.type.qmin, p.type.qmax)
        return cls(dtype, info.shape[1:], grid)

    def fits(self, x: Any, dtype: Any, samples: int) -> bool:
        """Whether it is an array of this dtype in the right shape."""
        return type(x) is np.ndarray and x.dtype == dtype and x.ndim > 0 and x.shape == (samples, *self.rest)


def fast_codes(quick: Sequence[FastInput | None], x_q: Sequence[Any]) -> Sequence[Array] | None:
    """The inputs themselves, if they are plainly right codes."""
    samples = _samples(quick, x_q)
    if samples and all(q is not None and q.fits(x, q.dtype, samples) for q, x in zip(quick, x_q, strict=True)):
        return x_q
    return None


def fast_quantize(library: Library, quick: Sequence[FastInput | None], x: Sequence[Any]) -> Sequence[Array] | None:
    """The inputs' codes, if they are plainly right reals: float32, dense, finite."""
    samples = _samples(quick, x)
    codes = []
    for q, real in zip(quick, x, strict=False) if samples else ():
        if q is None or q.grid is None or not q.fits(real, np.float32, samples) or not real.flags.c_contiguous:
            return None
        name, *grid = q.grid
        out = np.empty(real.shape, q.dtype)
        if getattr(library.functions, name)(address(real), real.size, *grid, address(out)):
            return None
        codes.append(out)
    return codes or None


def _samples(quick: Sequence[FastInput | None], x: Sequence[Any]) -> int:
    """How many there are in the first; 0 where the number of inputs is not right or that cannot be said."""
    return len(x[0]) if len(x) == len(quick) > 0 and type(x[0]) is np.ndarray and x[0].ndim else 0
