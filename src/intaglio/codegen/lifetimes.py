"""Compute lifetimes of values, and which buffers may share memory, for schedule and arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intaglio.codegen.memory import Arena, Buffer, Share, common_bytes, round_up
from intaglio.codegen.overlap import row_distances
from intaglio.codegen.placement import place
from intaglio.codegen.schedule import Task, TaskOrder, find_order
from intaglio.codegen.steps import ProgramStep
from intaglio.codegen.views import ViewLayout, nbytes
from intaglio.program import Program

SCRATCH_UNIT = 64
Stretch = tuple[str, int, int]  # root, first byte, end


class Values:
    """Values written by steps, and the Program's inputs; every tensor that is read consists of these."""

    def __init__(self, stretches: Mapping[str, Stretch]) -> None:
        self.stretches = stretches
        self._by_root: dict[str, list[str]] = {}
        for name, (root, _, _) in stretches.items():
            self._by_root.setdefault(root, []).append(name)

    def in_stretch(self, stretch: Stretch) -> list[str]:
        """Return the values that have bytes in a stretch."""
        return [name for name in self._by_root.get(stretch[0], ()) if _meet(self.stretches[name], stretch)]


@dataclass(frozen=True)
class Memory:
    """Tensors and working memory to be placed, independent of the order of steps.

    Args:
        program: Program after `separate_outputs`.
        layout: its views.
        alignment: alignment of the arena in bytes.
        threads: largest number of threads of a step; working memory is reserved for each.
        baremetal: one thread and no operating system: outputs may overlap their inputs row by row, and the Program's
            inputs and outputs are in the arena too.
    """

    program: Program
    layout: ViewLayout
    alignment: int
    threads: int = 1
    baremetal: bool = False

    def stretch(self, name: str) -> Stretch:
        """Return root, first byte and end of a tensor."""
        region = self.layout.regions[name]
        return region.root, region.offset, region.offset + nbytes(self.program, name)

    def outside(self, name: str) -> bool:
        """Return whether a tensor's memory is outside the arena."""
        root = self.layout.regions[name].root
        callers = () if self.baremetal else (*self.program.inputs, *self.program.outputs)
        return root in self.program.constants or root in callers

    def given(self) -> tuple[str, ...]:
        """Return the values that are in the arena before the first step."""
        return tuple(self.program.inputs) if self.baremetal else ()

    def values(self, steps: Sequence[ProgramStep]) -> Values:
        """Return the values that steps write, and the Program's inputs."""
        return Values({n: self.stretch(n) for n in (*self.program.inputs, *(step.output for step in steps))})

    def kept(self, steps: Sequence[ProgramStep]) -> tuple[str, ...]:
        """Return the values that the Program's outputs consist of."""
        values = self.values(steps)
        return tuple(n for output in self.program.outputs for n in values.in_stretch(self.stretch(output)))

    def scratch(self, step: ProgramStep) -> int:
        """Return the bytes of working memory of a step, for all threads."""
        if not step.call.scratch:
            return 0
        return round_up(step.call.scratch, SCRATCH_UNIT) * max(1, min(self.threads, step.call.units, step.call.split))

    def tasks(self, steps: Sequence[ProgramStep]) -> tuple[list[Task], dict[str, int]]:
        """Return the input of the scheduler: tasks, and bytes of values in the arena."""
        values = self.values(steps)
        sizes = {
            name: 0 if self.outside(name) else round_up(end - start, self.alignment)
            for name, (_, start, end) in values.stretches.items()
        }
        tasks = []
        for step in steps:
            common = {
                s.before: common_bytes(s, sizes[s.before], sizes[s.after], self.alignment)
                for s in self._shares(step, values)
            }
            tasks.append(Task(self._reads(step, values), step.output, self.scratch(step), common))
        return tasks, sizes

    def buffers(self, steps: Sequence[ProgramStep]) -> tuple[list[Buffer], list[Share]]:
        """Return the buffers of values and working memory for this order of steps, and which may share memory."""
        values = self.values(steps)
        first = dict.fromkeys(self.given(), 0)
        last = dict.fromkeys(self.given(), 0)
        for i, step in enumerate(steps):
            first[step.output] = i
            for name in (step.output, *self._reads(step, values)):
                last[name] = i
        kept = self.kept(steps)
        last.update(dict.fromkeys(kept, len(steps) - 1))
        buffers = []
        for name, (root, start, end) in values.stretches.items():
            if not self.outside(name):
                buffers.append(Buffer(name, end - start, first[name], last[name], root, start))
        scratch = [Buffer(f"scratch {i}", self.scratch(s), i, i) for i, s in enumerate(steps) if s.call.scratch]
        shares = [
            share
            for i, step in enumerate(steps)
            for share in self._shares(step, values)
            if last[share.before] == i and share.before not in kept
        ]
        return [*buffers, *scratch], shares

    def _reads(self, step: ProgramStep, values: Values) -> tuple[str, ...]:
        """Return the values that a step's inputs consist of."""
        return tuple(dict.fromkeys(v for name in step.inputs for v in values.in_stretch(self.stretch(name))))

    def _shares(self, step: ProgramStep, values: Values) -> list[Share]:
        """Return how the output may overlap inputs, if this step is their last reader."""
        if self.outside(step.output):
            return []
        rows = row_distances(self.program, step) if self.baremetal else None
        found = []
        for position, name in enumerate(step.inputs):
            stretch = self.stretch(name)
            exact = position in step.call.may_alias and self._safe(step, position)
            if self.outside(name) or not (exact or rows is not None):
                continue
            for value in values.in_stretch(stretch):
                distance = stretch[1] - values.stretches[value][1]
                lead, trail = (None, None) if rows is None else (rows[0] - distance, rows[1] + distance)
                found.append(Share(value, step.output, distance if exact else None, lead, trail))
        return found

    def _safe(self, step: ProgramStep, position: int) -> bool:
        """Return whether the other inputs allow the output to overwrite an input element by element."""
        name = step.inputs[position]
        stretch, info, out = self.stretch(name), self.program.tensors[name], self.program.tensors[step.output]
        if nbytes(self.program, name) != nbytes(self.program, step.output):
            return False
        if info.type.dtype.itemsize != out.type.dtype.itemsize:
            return False
        for other, also in enumerate(step.inputs):
            where = self.stretch(also)
            if _meet(where, stretch) and (where != stretch or other not in step.call.may_alias):
                return False
        return True


def _meet(one: Stretch, other: Stretch) -> bool:
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


def plan_memory(memory: Memory, steps: Sequence[ProgramStep]) -> tuple[list[ProgramStep], Arena, TaskOrder]:
    """Order the steps and place all buffers; return the steps, the arena and the schedule.

    Args:
        memory: tensors and working memory to be placed.
        steps: steps in a valid order.
    """
    tasks, sizes = memory.tasks(steps)
    schedule = find_order(tasks, sizes, memory.given(), memory.kept(steps))
    ordered = [steps[i] for i in schedule.order]
    buffers, shares = memory.buffers(ordered)
    return ordered, place(buffers, memory.alignment, shares), schedule
