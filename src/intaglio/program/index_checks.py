"""Which indices that a Program computes have to be checked while it runs: those that may leave the axis they are for.

The ranges of plain integers are followed from the inputs, whose own are checked before a run, to the operators that
read at them. Where a range lies inside the axis, no run has to look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import DataError
from intaglio.program.input_ranges import input_ranges
from intaglio.program.operator import Range
from intaglio.program.structure import Node, ProgramStructure


@dataclass(frozen=True)
class IndexCheck:
    """A tensor of computed indices, and the integers that its reader takes.

    Args:
        node: name of the node that reads it.
        tensor: its name.
        low, high: smallest and largest index.
    """

    node: str
    tensor: str
    low: int
    high: int

    def check(self, indices: NDArray[Any]) -> None:
        """Compare the indices of a run with the axis.

        Raises:
            DataError: one is outside.
        """
        bad = (indices < self.low) | (indices > self.high)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"node '{self.node}': expected computed indices from {self.low} to {self.high} in '{self.tensor}', got "
                f"{indices[first]} at {first} ({int(bad.sum())} of {indices.size} are outside); repair the data, or "
                "let the network limit its indices (Clip)"
            )


def index_checks(
    program: ProgramStructure, given: Mapping[str, Range] | None = None
) -> dict[str, tuple[IndexCheck, ...]]:
    """Find the checks before each node, by the node's name; nodes without any are left out.

    Args:
        program: the Program.
        given: smallest and largest integer of inputs by name; None: all that the Program takes.
    """
    readers = {node.name: _reads(program, node) for node in program.nodes}
    if all(check.tensor in program.inputs for checks in readers.values() for check in checks):
        return {}
    held = _ranges(program, input_ranges(program) if given is None else given)
    found = {}
    for node, checks in readers.items():
        kept = tuple(c for c in checks if held[c.tensor][0] < c.low or held[c.tensor][1] > c.high)
        if kept:
            found[node] = kept
    return found


def ranges_to_draw(program: ProgramStructure) -> dict[str, Range] | None:
    """Find ranges of the inputs of plain integers within which no computed index leaves its axis, by name.

    Those that the Program takes, halved towards 0 until that is certain; None if it never is.
    """
    ranges = input_ranges(program)
    while index_checks(program, ranges):
        if not any(low or high for low, high in ranges.values()):
            return None
        ranges = {name: (-(-low // 2), high // 2) for name, (low, high) in ranges.items()}
    return ranges


def _reads(program: ProgramStructure, node: Node) -> list[IndexCheck]:
    shapes = [program.tensors[name].shape for name in node.inputs]
    ranges = [(name, node.operator.operand_range(index, *shapes)) for index, name in enumerate(node.inputs)]
    return [IndexCheck(node.name, name, *taken) for name, taken in ranges if taken is not None]


def _ranges(program: ProgramStructure, given: Mapping[str, Range]) -> Mapping[str, Range]:
    """The smallest and the largest integer that each tensor can hold."""
    found = {name: (info.type.qmin, info.type.qmax) for name, info in program.tensors.items()}
    found.update(given)
    found.update((name, (int(array.min()), int(array.max()))) for name, array in program.constants.items())
    for node in program.nodes:
        shapes = tuple(program.tensors[name].shape for name in node.inputs)
        made = node.operator.result_range(shapes, tuple(found[name] for name in node.inputs))
        if made is not None:
            found[node.output] = made
    return found
