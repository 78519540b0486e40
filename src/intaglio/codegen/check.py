"""Check a memory plan by simulation: every value that a step reads must still be intact."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.codegen.lifetimes import Memory
from intaglio.codegen.memory import Arena, Share
from intaglio.codegen.steps import ProgramStep
from intaglio.errors import CompileError


def verify_arena(memory: Memory, steps: Sequence[ProgramStep], arena: Arena) -> None:
    """Simulate all writes of all steps and check the plan.

    Args:
        memory: tensors and their regions.
        steps: steps in execution order.
        arena: the memory plan.
    Raises:
        CompileError: a step reads overwritten data, writes outside the arena, overlaps its inputs in a way that it does
            not allow, or overlaps its working memory; or an output is overwritten before the end.
    """
    values = memory.values(steps)
    held: dict[str, tuple[int, int]] = {}  # intact values and their address ranges

    def place(name: str) -> tuple[int, int] | None:
        root, start, end = memory.stretch(name)
        if memory.outside(name):
            return None
        base = arena.bases[root]
        return base + start, base + end

    def parts(name: str) -> list[str]:
        return [value for value in values.in_stretch(memory.stretch(name)) if not memory.outside(value)]

    def write(name: str, where: tuple[int, int], step: str) -> None:
        if where[0] < 0 or where[1] > arena.nbytes:
            raise CompileError(f"{step}: '{name}' lies at {where}, outside an arena of {arena.nbytes} bytes")
        for other in [v for v, at in held.items() if _overlap(at, where)]:
            del held[other]

    shares = {(s.before, s.after): s for s in arena.shares}
    for name in memory.given():
        where = place(name)
        if where is not None:
            write(name, where, "start")
            held[name] = where
    for i, step in enumerate(steps):
        label = f"step {i} ({step.name})"
        busy = []
        for name in step.inputs:
            for part in parts(name):
                if part not in held:
                    raise CompileError(f"{label}: reads '{part}', which another step has overwritten")
                busy.append(part)
        target = place(step.output)
        if step.call.scratch:
            start = arena.offsets[f"scratch {i}"]
            work = start, start + memory.scratch(step)
            for part in busy:
                if _overlap(held[part], work):
                    raise CompileError(f"{label}: its working memory at {work} overlaps its input '{part}'")
            if target is not None and _overlap(target, work):
                raise CompileError(f"{label}: its working memory at {work} overlaps its output at {target}")
            write(f"scratch {i}", work, label)
        if target is None:
            continue
        for part in busy:
            if _overlap(held[part], target):
                share = shares.get((part, step.output))
                if share is None or not _allowed(share, target[0] - held[part][0], i in arena.backward):
                    raise CompileError(f"{label}: writes {target} over its input '{part}' at {held[part]}")
        write(step.output, target, label)
        held[step.output] = target
    for name in memory.program.outputs:
        for part in parts(name):
            if part not in held:
                raise CompileError(f"output '{name}': another step has overwritten '{part}'")


def _allowed(share: Share, distance: int, backward: bool) -> bool:
    if share.at is not None and distance == share.at:
        return True
    if backward:
        return share.trail is not None and distance >= share.trail
    return share.lead is not None and distance <= -share.lead


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
