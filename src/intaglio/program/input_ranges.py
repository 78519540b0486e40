"""Which integers a Program takes as inputs that are no quantized numbers: indices into tables.

Every reader of such an input says which integers it takes; operators that only move integers pass that on.
"""

from __future__ import annotations

from intaglio.program.operator import Range
from intaglio.program.structure import ProgramStructure


def input_ranges(program: ProgramStructure) -> dict[str, Range]:
    """Find the smallest and the largest integer of every input without scale and zero point, by name."""
    taken: dict[str, Range] = {}
    for node in reversed(program.nodes):
        shapes = [program.tensors[name].shape for name in node.inputs]
        for index, name in enumerate(node.inputs):
            found = taken.get(node.output) if node.operator.moves else node.operator.operand_range(index, *shapes)
            if found is not None:
                low, high = taken.get(name, found)
                taken[name] = max(low, found[0]), min(high, found[1])
    ranges = {}
    for name in program.inputs:
        info = program.tensors[name]
        if info.params is None:
            low, high = taken.get(name, (info.type.qmin, info.type.qmax))
            ranges[name] = max(low, info.type.qmin), min(high, info.type.qmax)
    return ranges
