"""Find tensors that are views of other tensors' memory, so that no step has to copy them.

A node whose output is a contiguous part of its input in the same order (a reshape, a slice of whole rows, a transpose
that moves only axes of size 1, a pad or an expand that adds nothing) is a view of it. For a concatenation along the
outermost axis, the inputs are views of the output: they are written directly into their places.

The caller owns inputs and outputs: each of a Program's outputs has its own memory, so a node that would make it a view
of an input, a constant or another output keeps its step, which copies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from intaglio.program import Node, Program
from intaglio.program.operator import Operator, Shape
from intaglio.program.operators.reshape import Reshape
from intaglio.program.structure import fresh


@dataclass(frozen=True)
class Region:
    """Memory of a tensor: part of `root`, starting at byte `offset`."""

    root: str
    offset: int


@dataclass(frozen=True)
class ViewLayout:
    """Views of a Program.

    Args:
        regions: region of every tensor; a tensor with its own memory is its own root.
        views: names of the nodes that need no step.
    """

    regions: Mapping[str, Region]
    views: frozenset[str]


def nbytes(program: Program, name: str) -> int:
    """Return the bytes of a dense tensor for one sample."""
    info = program.tensors[name]
    return math.prod(info.shape) * info.type.dtype.itemsize


def separate_outputs(program: Program) -> Program:
    """Return a Program whose outputs are all computed by nodes: an input or constant that is an output is copied."""
    given = {*program.inputs, *program.constants} & set(program.outputs)
    if not given:
        return program
    nodes, tensors, outputs = list(program.nodes), dict(program.tensors), list(program.outputs)
    names = {node.name for node in nodes}
    for i, name in enumerate(outputs):
        if name in given:
            copy = fresh(f"{name}.output", tensors)
            info = program.tensors[name]
            to = (-1, *info.shape[1:]) if program.batched and name not in program.constants else info.shape
            nodes.append(Node(fresh(copy, names), Reshape(to), (name,), copy))
            names.add(nodes[-1].name)
            tensors[copy] = replace(info, name=copy)
            outputs[i] = copy
    named = dict(zip(program.outputs, outputs, strict=True))
    states = tuple(replace(state, output=named[state.output]) for state in program.states)
    floats = tuple(named.get(name, name) for name in program.float_ends)
    return replace(program, nodes=nodes, tensors=tensors, outputs=tuple(outputs), states=states, float_ends=floats)


def find_views(program: Program) -> ViewLayout:
    """Find the views of a Program whose outputs are all computed by nodes."""
    memory = _Memory(program)
    views = set()
    for node in program.nodes:
        memory.regions[node.output] = Region(node.output, 0)
        if memory.join(node) if node.operator.kind == "concat" else memory.view(node):
            views.add(node.name)
    return ViewLayout({name: memory.resolve(name) for name in memory.regions}, frozenset(views))


class _Memory:
    """Regions found so far; `parents` records roots that became parts of others."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.regions = {name: Region(name, 0) for name in (*program.inputs, *program.constants)}
        self.parents: dict[str, Region] = {}
        self.callers = {*program.inputs, *program.constants, *program.outputs}

    def resolve(self, name: str) -> Region:
        """Return the region of a tensor found so far."""
        region = self.regions[name]
        while region.root in self.parents:
            parent = self.parents[region.root]
            region = Region(parent.root, parent.offset + region.offset)
        return region

    def view(self, node: Node) -> bool:
        """Make the node's output a view of its input, if possible."""
        if len(node.inputs) != 1:
            return False
        source = node.inputs[0]
        start = view_start(node.operator, self.program.tensors[source].shape, self.program.tensors[node.output].shape)
        if start is None:
            return False
        if node.output in self.program.outputs:
            return self._move([source], node.output)
        region = self.resolve(source)
        itemsize = self.program.tensors[source].type.dtype.itemsize
        self.regions[node.output] = Region(region.root, region.offset + start * itemsize)
        return True

    def join(self, node: Node) -> bool:
        """Make a concatenation's inputs views of its output, if they are contiguous parts of it."""
        axis = getattr(node.operator, "axis", 0)
        if math.prod(self.program.tensors[node.output].shape[:axis]) != 1:
            return False
        return self._move(node.inputs, node.output)

    def _move(self, sources: Sequence[str], target: str) -> bool:
        """Make consecutive sources views of the target; each must be the whole of its own memory."""
        found = [self.resolve(name) for name in sources]
        roots = [region.root for region in found]
        free = len(set(roots)) == len(roots) and not self.callers & set(roots)
        sizes = [nbytes(self.program, name) for name in sources]
        whole = all(r.offset == 0 and nbytes(self.program, r.root) == n for r, n in zip(found, sizes, strict=True))
        if not (free and whole and sum(sizes) == nbytes(self.program, target)):
            return False
        at = 0
        for root, size in zip(roots, sizes, strict=True):
            self.parents[root] = Region(target, at)
            at += size
        return True


def view_start(operator: Operator, x: Shape, y: Shape) -> int | None:
    """Return the input element at which the output begins, if it is a contiguous part of the input; None otherwise."""
    kind = operator.kind
    if kind == "reshape":
        return 0
    if kind == "expand":
        return 0 if math.prod(x) == math.prod(y) else None
    if kind == "transpose":
        axes: tuple[int, ...] = operator.axes  # type: ignore[attr-defined]
        moved = [axis for axis in axes if x[axis] != 1]
        return 0 if moved == sorted(moved) else None
    if kind == "pad":
        before: tuple[int, ...] = operator.before  # type: ignore[attr-defined]
        after: tuple[int, ...] = operator.after  # type: ignore[attr-defined]
        return _part(x, y, [-b for b in before]) if max(*before, *after, 0) == 0 else None
    if kind == "slice":
        return _slice(operator, x, y)
    return None


def _slice(operator: Operator, x: Shape, y: Shape) -> int | None:
    starts = [0] * len(x)
    axes, steps = operator.axes, operator.steps  # type: ignore[attr-defined]
    for axis, start, step in zip(axes, operator.starts, steps, strict=True):  # type: ignore[attr-defined]
        if step != 1 and y[axis] != 1:
            return None
        starts[axis] = start
    return _part(x, y, starts)


def _part(x: Shape, y: Shape, starts: Sequence[int]) -> int | None:
    """Return the first element of the part of x with shape y at `starts`, if it is contiguous; None otherwise.

    It is contiguous if every axis after the first one with more than one element of y is complete.
    """
    first = next((axis for axis, n in enumerate(y) if n != 1), len(y))
    if x[first + 1 :] != y[first + 1 :]:
        return None
    element = 0
    for size, start in zip(x, starts, strict=True):
        element = element * size + start
    return element
