"""Programs with a few things changed: fields, factors, arrays, types, shapes, wiring, rule. Most make no sense."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from intaglio.number import BIPOLAR, IntType, Requantize, Rule
from intaglio.program import Node, Operator, Program
from intaglio.program.sampling import codes

TYPES = (
    *(IntType(bits, signed) for bits in (1, 2, 4, 7, 8, 9, 12, 16, 32) for signed in (True, False)),
    IntType(8, narrow=True),
    IntType(16, narrow=True),
    BIPOLAR,
)
INTEGERS = tuple(
    sign * ((1 << k) + d)
    for k in (0, 1, 2, 3, 7, 8, 15, 16, 28, 30, 31, 32, 62)
    for d in (-1, 0, 1)
    for sign in (-1, 1)
)
DTYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


class Mutator:
    """Changes a Program in place, by a generator of random numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def mutant(self, program: Program) -> Program:
        """A copy with one to three changes. Two in three declare their tensors anew, so that shapes and types agree."""
        made = dataclasses.replace(
            program,
            nodes=list(program.nodes),
            tensors={name: dataclasses.replace(info, params=None) for name, info in program.tensors.items()},
            constants=dict(program.constants),
        )
        for _ in range(int(self.rng.choice([1, 1, 2, 3]))):
            change = self.pick(
                [self.operator, self.operator, self.operator, self.operator, self.tensor, self.constant, self.header]
            )
            change(made)
        if self.rng.random() < 0.67:
            redeclare(made)
        return made

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def integer(self, near: int) -> int:
        kind = self.rng.random()
        if kind < 0.6:
            return near + int(self.rng.integers(-3, 4))
        return self.pick(INTEGERS) if kind < 0.9 else near * int(self.rng.integers(-2, 4))

    def operator(self, program: Program) -> None:
        at = int(self.rng.integers(len(program.nodes)))
        node = program.nodes[at]
        fields = [f.name for f in dataclasses.fields(node.operator)]
        if not fields or self.rng.random() < 0.1:
            program.nodes[at] = self.rewired(program, node)
            return
        name = self.pick(fields)
        value = self.value(getattr(node.operator, name))
        program.nodes[at] = dataclasses.replace(node, operator=dataclasses.replace(node.operator, **{name: value}))

    def rewired(self, program: Program, node: Node) -> Node:
        names = list(program.tensors)
        inputs = [self.pick(names) if self.rng.random() < 0.5 else name for name in node.inputs]
        if self.rng.random() < 0.2:
            inputs = inputs[:-1] if self.rng.random() < 0.5 else [*inputs, self.pick(names)]
        return dataclasses.replace(node, inputs=tuple(inputs))

    def value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.integer(value)
        if isinstance(value, str):
            return self.pick(("add", "sub", "mul", "", f"{value}_"))
        if isinstance(value, tuple):
            return self.tuple(value)
        if isinstance(value, IntType):
            return self.pick(TYPES)
        if isinstance(value, Requantize):
            return self.factor(value)
        return self.array(value)

    def tuple(self, value: tuple[int, ...]) -> tuple[int, ...]:
        items = list(value)
        if items and self.rng.random() < 0.8:
            k = int(self.rng.integers(len(items)))
            items[k] = self.integer(items[k])
            return tuple(items)
        return tuple(items[1:] if items and self.rng.random() < 0.5 else [*items, self.integer(1)])

    def factor(self, factor: Requantize) -> Requantize:
        field = self.pick(("multiplier", "shift", "rule", "wide"))
        if field == "rule":
            return dataclasses.replace(factor, rule=self.pick(tuple(Rule)))
        if field == "wide":
            return dataclasses.replace(factor, wide=not factor.wide)
        if self.rng.random() < 0.5:  # every normalised multiplier and every shift is a factor
            low, high = (1 << 30, 1 << 31) if field == "multiplier" else (-30, 32)
            shape = factor.shift.shape
            return dataclasses.replace(factor, **{field: self.rng.integers(low, high, shape).astype(np.int32)})
        return dataclasses.replace(factor, **{field: self.array(getattr(factor, field))})

    def array(self, array: np.ndarray) -> np.ndarray:
        kind = self.rng.random()
        info = np.iinfo(array.dtype)
        if kind < 0.3:  # single elements
            changed = array.copy()
            if changed.size:
                flat = changed.reshape(-1)
                near = self.integer(int(flat[int(self.rng.integers(flat.size))]))
                flat[int(self.rng.integers(flat.size))] = min(max(near, info.min), info.max)
            return changed
        if kind < 0.6:
            ends = self.pick([(info.min, info.max), (-2, 3), (0, 2), (-128, 128)])
            low, high = max(ends[0], info.min), min(ends[1], info.max, (1 << 63) - 1)
            return self.rng.integers(low, high, array.shape, dtype=np.int64, endpoint=True).astype(array.dtype)
        if kind < 0.8:
            return array.astype(self.pick(DTYPES))
        return self.pick([array.reshape(-1), array[None], array[:1] if array.ndim else array, array.T])

    def tensor(self, program: Program) -> None:
        name = self.pick(list(program.tensors))
        info = program.tensors[name]
        if self.rng.random() < 0.6:
            program.tensors[name] = dataclasses.replace(info, type=self.pick(TYPES))
        else:
            program.tensors[name] = dataclasses.replace(info, shape=self.tuple(info.shape))

    def constant(self, program: Program) -> None:
        if program.constants:
            name = self.pick(list(program.constants))
            program.constants[name] = self.array(program.constants[name])
        else:
            self.operator(program)

    def header(self, program: Program) -> None:
        kind = self.rng.random()
        if kind < 0.3:
            program.rule = self.pick(tuple(Rule))
        elif kind < 0.6:
            program.batched = not program.batched
        elif kind < 0.8:
            program.outputs = (*program.outputs, self.pick(list(program.tensors)))
        else:
            program.nodes.insert(0, program.nodes.pop(int(self.rng.integers(len(program.nodes)))))


def redeclare(program: Program) -> None:
    """Shapes and types of what nodes make, as far as their operators can say."""
    for node in program.nodes:
        try:
            infos = [program.tensors[name] for name in node.inputs]
            shape = node.operator.shape(*(info.shape for info in infos))
            type = node.operator.out_type(*(info.type for info in infos))
        except Exception:
            return
        program.tensors[node.output] = dataclasses.replace(program.tensors[node.output], shape=shape, type=type)


def size(program: Program) -> int:
    """A measure of the time that one run takes."""
    work = sum(int(np.prod(info.shape, dtype=np.float64)) for info in program.tensors.values())
    for node in program.nodes:
        infos = [program.tensors[name].shape for name in node.inputs]
        work += node.operator.macs(*infos)
        kernel = getattr(node.operator, "kernel", ())
        work += int(np.prod(program.tensors[node.output].shape, dtype=np.float64) * np.prod(kernel, dtype=np.float64))
        pads, shape = getattr(node.operator, "pads", ()), infos[0]
        if pads:
            work += (shape[1] + pads[0] + pads[2]) * (shape[2] + pads[1] + pads[3]) * shape[3]
    return work


def inputs_of(program: Program, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Codes of every input, in the shape that the Program declares."""
    infos = [program.tensors[name] for name in program.inputs]
    return tuple(codes(rng, i.type, i.shape, extreme=bool(rng.random() < 0.3)) for i in infos)


def only(program: Program) -> Operator:
    """The operator of a Program of one node."""
    return program.nodes[0].operator
