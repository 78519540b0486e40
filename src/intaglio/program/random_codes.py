"""Random inputs that a Program takes: uniform over their types, or over indices that stay inside their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.program.index_checks import index_checks, ranges_to_draw
from intaglio.program.input_ranges import input_ranges
from intaglio.program.interpreter import run_int
from intaglio.program.structure import ProgramStructure

_TRIED = 16  # values for whole inputs of plain integers: numbers of padding tokens are small


def random_codes(program: ProgramStructure, count: int, seed: int) -> tuple[NDArray[Any], ...]:
    """Draw codes of every input.

    Where no range of plain integers is certain to keep computed indices inside, such inputs hold one value each.

    Args:
        program: the Program.
        count: of samples.
        seed: of the draw.
    Returns:
        For each input, samples in the shape that the Program declares, (count, ...).
    Raises:
        DataError: no inputs were found whose computed indices stay inside; the text names the node.
    """
    ranges = ranges_to_draw(program)
    if ranges is not None:
        return _drawn(program, ranges, count, seed)
    taken, refused = input_ranges(program), None
    for value in range(_TRIED):
        ranges = {name: (min(value, high),) * 2 for name, (_, high) in taken.items()}
        found = _drawn(program, ranges, count, seed)
        try:
            for sample in zip(*found, strict=True):
                run_int(program, *sample)
        except DataError as error:
            refused = error
        else:
            return found
    raise DataError(
        f"program: expected random inputs whose computed indices stay inside their axes, found none for node "
        f"'{next(iter(index_checks(program)))}'; give data"
    ) from refused


def _drawn(
    program: ProgramStructure, ranges: dict[str, tuple[int, int]], count: int, seed: int
) -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(seed)
    infos = [program.tensors[name] for name in program.inputs]
    bounds = [ranges.get(info.name, (info.type.qmin, info.type.qmax)) for info in infos]
    return tuple(
        rng.integers(low, high, (count, *i.shape), dtype=np.int64, endpoint=True).astype(i.type.dtype)
        for i, (low, high) in zip(infos, bounds, strict=True)
    )
