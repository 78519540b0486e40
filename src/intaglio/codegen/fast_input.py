"""Fast path for inputs of the expected shape and dtype: check and quantize them within microseconds.

All other inputs, valid or not, go through `program.inputs`, which also raises the errors.
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
    """Expected form of an input for the fast path.

    Args:
        dtype: dtype of the codes, all of whose values are valid codes.
        rest: shape without the batch axis.
        grid: (name of the C function, scale, zero point, smallest code, largest code); None if real inputs have no fast
            path.
    """

    dtype: np.dtype[Any]
    rest: tuple[int, ...]
    grid: tuple[str, float, int, int, int] | None

    @classmethod
    def of(cls, info: TensorInfo) -> FastInput | None:
        """Return the form of a tensor; None if some values of its dtype are not codes, or it has no batch axis."""
        dtype = np.dtype(info.type.dtype)
        if info.params is None:  # indices, whose range `program.inputs` checks
            return None
        if info.type.bits != 8 * dtype.itemsize or info.shape[:1] != (1,):
            return None
        grid = None
        if info.params is not None and info.params.scale.ndim == 0 and info.type.bits <= 16:
            name = f"ig_library_quantize_{'s' if info.type.signed else 'u'}{info.type.bits}"
            p = info.params
            grid = (name, float(p.scale), int(p.zero_point), p.type.qmin, p.type.qmax)
        return cls(dtype, info.shape[1:], grid)

    def fits(self, x: Any, dtype: Any, samples: int) -> bool:
        """Return whether x is an array of this dtype and the expected shape."""
        return type(x) is np.ndarray and x.dtype == dtype and x.ndim > 0 and x.shape == (samples, *self.rest)


def fast_codes(quick: Sequence[FastInput | None], x_q: Sequence[Any]) -> Sequence[Array] | None:
    """Return the inputs if they are codes in the expected form; None otherwise."""
    samples = _samples(quick, x_q)
    if samples and all(q is not None and q.fits(x, q.dtype, samples) for q, x in zip(quick, x_q, strict=True)):
        return x_q
    return None


def fast_quantize(library: Library, quick: Sequence[FastInput | None], x: Sequence[Any]) -> Sequence[Array] | None:
    """Quantize the inputs if they are contiguous, finite float32 arrays in the expected form; None otherwise."""
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
    """Return the number of samples in the first input; 0 if the number of inputs is wrong or it is not an array."""
    return len(x[0]) if len(x) == len(quick) > 0 and type(x[0]) is np.ndarray and x[0].ndim else 0
