"""How many threads NumPy's BLAS uses. Results never depend on it: the products are of integers and exact.

The reference interpreter runs several samples at a time, one thread each; BLAS threads on top of that only hinder each
other (a run of many small products took 15 times as long on a busy machine). NumPy's wheels bring OpenBLAS, whose own
functions are called here; with any other BLAS nothing is changed and one thread runs the samples.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np


def blas_threads() -> int:
    """Threads that BLAS would use, by its own count of processors and OMP_NUM_THREADS; 1 where it cannot be asked."""
    found = _openblas()
    return max(1, int(found[0]())) if found else 1


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let every product run in the thread that asks for it."""
    found = _openblas()
    if found is None:
        yield
        return
    before = blas_threads()
    found[1](1)
    try:
        yield
    finally:
        found[1](before)


@cache
def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's (get, set) of the number of threads, as NumPy's wheels name them."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            # Another BLAS, or one under other names, keeps its own threads: results are the same, only slower.
            with contextlib.suppress(OSError, AttributeError):
                library = ctypes.CDLL(str(path))  # loaded already: this is the same instance
                return library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
    return None
