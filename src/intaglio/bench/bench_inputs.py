"""Random inputs for timing; latency does not depend on their values."""

from __future__ import annotations

import numpy as np

from intaglio.bench.engine import Array
from intaglio.program import Program
from intaglio.program.index_checks import ranges_to_draw


def random_reals(program: Program, seed: int = 0) -> tuple[Array, ...]:
    """Draw real inputs over the inputs' whole ranges, and indices that the network takes, in the Program's shapes."""
    rng = np.random.default_rng(seed)
    found, ranges = [], ranges_to_draw(program)
    for name in program.inputs:
        info = program.tensors[name]
        low, high = ranges.get(name, (info.type.qmin, info.type.qmax))
        codes = rng.integers(low, high + 1, info.shape).astype(info.type.dtype)
        found.append(codes if info.params is None else info.params.dequantize(codes))
    return tuple(found)
