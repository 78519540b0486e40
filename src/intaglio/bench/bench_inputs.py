"""Random inputs for timing; latency does not depend on their values."""

from __future__ import annotations

from intaglio.bench.engine import Array
from intaglio.program import Program
from intaglio.program.random_codes import random_codes


def random_reals(program: Program, seed: int = 0) -> tuple[Array, ...]:
    """Draw real inputs over the inputs' whole ranges, and indices that the network takes, in the Program's shapes."""
    params = (program.tensors[name].params for name in program.inputs)
    codes = (stack[0] for stack in random_codes(program, 1, seed))
    return tuple(x if p is None else p.dequantize(x) for x, p in zip(codes, params, strict=True))
