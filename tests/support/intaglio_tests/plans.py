"""Random Programs, steps without kernels, and an executor that runs a memory plan on bytes as unkindly as it may."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from intaglio.codegen.lifetimes import Memory
from intaglio.codegen.steps import ProgramStep
from intaglio.codegen.views import find_views, separate_outputs
from intaglio.kernels.kernel import Call
from intaglio.number import INT8, INT16, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.operators.add import Add
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.transpose import Transpose
from intaglio.program.sampling import codes, grid, params

ELEMENTWISE = ("clamp", "add")
WINDOWS = ("conv2d", "max_pool2d")


class Builder:
    """Collects nodes; tensors are named t0, t1, ..."""

    def __init__(self, *shapes, type=INT8):
        self.tensors = {f"x{i}": TensorInfo(f"x{i}", shape, type) for i, shape in enumerate(shapes)}
        self.inputs = tuple(self.tensors)
        self.nodes = []
        self.constants = {}

    def node(self, operator, *inputs):
        """Add a node; its output's name."""
        name = f"t{len(self.nodes)}"
        infos = [self.tensors[i] for i in inputs]
        shape = operator.shape(*(i.shape for i in infos))
        self.tensors[name] = TensorInfo(name, shape, operator.out_type(*(i.type for i in infos)))
        self.nodes.append(Node(f"n{len(self.nodes)}", operator, tuple(inputs), name))
        return name

    def build(self, *outputs):
        """The verified Program."""
        program = Program(
            self.nodes, self.tensors, self.constants, self.inputs, tuple(outputs), Rule.HALF_UP, "test", batched=True
        )
        program.verify()
        return program


def conv(rng, x, kernel, channels, stride=1, pad=0, groups=1):
    """A convolution of codes with parameters of no meaning."""
    info = grid(x.type, 0.05)
    weight = codes(rng, INT8, (channels, kernel, kernel, x.shape[3] // groups))
    bias = rng.uniform(-1, 1, channels)
    return Conv2d.from_real(
        info, grid(INT8, 0.02), grid(x.type, 0.2), weight, bias, Rule.HALF_UP,
        strides=(stride, stride), pads=(pad,) * 4, groups=groups,
    )  # fmt: skip


def add(rng, type):
    """A sum of codes of one type."""
    return Add.from_real(params(rng, type), params(rng, type), params(rng, type), rule=Rule.HALF_UP)


def random_program(seed):
    """Some 4 to 16 nodes over small images: windows, elementwise, and everything that may be a view."""
    rng = np.random.default_rng(seed)
    type = INT8 if rng.random() < 0.8 else INT16
    shapes = [tuple(int(n) for n in (1, *rng.integers(1, 7, 2), rng.choice([1, 2, 4, 8]))) for _ in range(2)]
    b = Builder(*shapes[: int(rng.integers(1, 3))], type=type)
    for _ in range(int(rng.integers(4, 17))):
        names = list(b.tensors)
        # mostly recent tensors, so that there are chains; sometimes any, so that there are branches
        x = names[-1] if rng.random() < 0.5 else names[int(rng.integers(len(names)))]
        operator, inputs = random_operator(rng, b, x)
        if operator is not None and np.prod(operator.shape(*(b.tensors[i].shape for i in inputs))) <= 2000:
            b.node(operator, *inputs)
    if not b.nodes:
        b.node(Clamp(-3, 90), "x0")
    read = {name for node in b.nodes for name in node.inputs}
    outputs = [node.output for node in b.nodes if node.output not in read]
    spare = [name for name in b.tensors if name not in outputs]
    if rng.random() < 0.4:
        outputs.append(spare[int(rng.integers(len(spare)))])  # an input, or what others read too
    return b.build(*outputs)


def random_operator(rng, b, x):
    """An operator that takes tensor x, and its inputs."""
    info = b.tensors[x]
    (_, h, w, c), kind = info.shape, int(rng.integers(11))
    same = [name for name, t in b.tensors.items() if t.shape == info.shape]
    if kind == 0:
        return Clamp(-60, 90), [x]
    if kind <= 2:
        return add(rng, info.type), [x, same[int(rng.integers(len(same)))]]
    if kind == 3:
        kernel = int(rng.integers(1, min(h, w, 3) + 1))
        pad = int(rng.integers(0, kernel))
        stride = int(rng.integers(1, 3))
        return MaxPool2d((kernel,) * 2, (stride,) * 2, (1, 1), (pad,) * 4, info.type.qmin, info.type.qmax), [x]
    if kind <= 5:
        kernel = int(rng.integers(1, min(h, w, 3) + 1))
        depthwise = rng.random() < 0.4
        channels = c if depthwise else int(rng.choice([1, 2, 4, 8]))
        groups = c if depthwise else 1
        return conv(rng, info, kernel, channels, int(rng.integers(1, 3)), int(rng.integers(0, kernel)), groups), [x]
    if kind == 6:
        to = [(-1, h * w, 1, c), (-1, 1, h, w * c), (-1, w, h, c)][int(rng.integers(3))]
        return Reshape(to), [x]
    if kind == 7:
        axis = int(rng.integers(1, 4))
        start = int(rng.integers(info.shape[axis]))
        stop = int(rng.integers(start + 1, info.shape[axis] + 1))
        return Slice((axis,), (start,), (stop,), (int(rng.integers(1, 3)),)), [x]
    if kind == 8:
        axes = [(0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 3, 2)][int(rng.integers(3))]
        return Transpose(axes), [x]
    if kind == 9:
        before, after = (0, int(rng.integers(-(h // 3), 2)), 0, 0), (0, int(rng.integers(-(h // 3), 2)), 0, 0)
        return (Expand((-1, h, w, c)), [x]) if rng.random() < 0.3 else (Pad(before, after, 5), [x])
    axis = int(rng.choice([1, 1, 3]))
    fitting = [
        name for name, t in b.tensors.items() if t.shape[:axis] == info.shape[:axis]
        and t.shape[axis + 1 :] == info.shape[axis + 1 :]
    ]  # fmt: skip
    parts = [fitting[int(rng.integers(len(fitting)))] for _ in range(int(rng.integers(1, 4)))]
    return Concat(axis), [x, *parts]


def steps_of(program, layout, rows=1, scratch=0):
    """Steps with calls that say what real ones would say, and have no code."""
    steps = []
    for node in program.nodes:
        if node.name in layout.views:
            continue
        kind, y = node.operator.kind, program.tensors[node.output].shape
        alias = tuple(range(len(node.inputs))) if kind in ELEMENTWISE else ()
        by_rows = rows if kind in WINDOWS else 0
        units = -(-y[1] // rows) if by_rows else 1
        call = Call("f", (), "struct s", {}, units=units, scratch=scratch, may_alias=alias, rows=by_rows)
        steps.append(ProgramStep((node,), node.inputs, node.output, call))
    return steps


def memory_of(program, *, baremetal=False, alignment=8, threads=1):
    """What the planner starts from."""
    program = separate_outputs(program)
    return Memory(program, find_views(program), alignment, threads, baremetal)


class Executor:
    """Runs steps in the reference's integers, but on the plan's memory.

    Memory holds noise at first; every step spoils its working memory, and its output before it reads its inputs,
    unless the plan lets them overlap: then elements are done in any order, and rows one unit after the other, each with
    noise in place of the rows that its window does not cover.
    """

    def __init__(self, memory, steps, arena, seed):
        self.memory, self.steps, self.arena = memory, steps, arena
        self.rng = np.random.default_rng(seed)
        self.bytes = self.noise(max(1, arena.nbytes))
        program = memory.program
        self.outside = {name: np.frombuffer(v.tobytes(), np.uint8).copy() for name, v in program.constants.items()}
        if not memory.baremetal:
            for name in (*program.inputs, *program.outputs):
                start, end = memory.stretch(name)[1:]
                self.outside[name] = self.noise(end - start)

    def noise(self, n):
        """Bytes of no meaning."""
        return self.rng.integers(0, 256, n).astype(np.uint8)

    def view(self, name):
        """A tensor's memory, typed and shaped."""
        root, start, end = self.memory.stretch(name)
        if root in self.outside:
            memory = self.outside[root]
        else:
            memory, base = self.bytes, self.arena.bases[root]
            start, end = base + start, base + end
        info = self.memory.program.tensors[name]
        return memory[start:end].view(np.uint8), info

    def read(self, name):
        """A copy of a tensor."""
        memory, info = self.view(name)
        return np.frombuffer(memory.tobytes(), info.type.dtype).reshape(info.shape)

    def write(self, name, values):
        """Store a tensor."""
        self.view(name)[0][:] = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)

    def run(self, *inputs):
        """The outputs."""
        program = self.memory.program
        for name, x in zip(program.inputs, inputs, strict=True):
            self.write(name, x)
        for i, step in enumerate(self.steps):
            self.spoil(i, step)
            operator = step.nodes[0].operator
            shared = [
                p
                for p, name in enumerate(step.inputs)
                if np.shares_memory(self.view(name)[0], self.view(step.output)[0])
            ]
            declared = any(share.after == step.output for share in self.arena.shares)
            if not shared or not declared:
                self.write(step.output, self.noise(self.view(step.output)[0].size))
                self.write(step.output, operator.integer(*(self.read(name) for name in step.inputs)))
            elif step.call.rows:
                self.by_rows(i, step, operator)
            else:
                self.by_elements(step, operator)
        return [self.read(name) for name in program.outputs]

    def spoil(self, i, step):
        """Noise in the working memory."""
        if step.call.scratch:
            start, size = self.arena.offsets[f"scratch {i}"], self.memory.scratch(step)
            self.bytes[start : start + size] = self.noise(size)

    def by_elements(self, step, operator):
        """Chunks of elements in any order."""
        size = self.read(step.output).size
        itemsize = self.read(step.output).itemsize
        edges = np.unique(np.r_[0, self.rng.integers(0, size + 1, 5), size])
        chunks = [slice(a, b) for a, b in pairwise(edges)]
        for chunk in self.rng.permutation(len(chunks)):
            part = chunks[chunk]
            values = operator.integer(*(self.read(name).reshape(-1)[part] for name in step.inputs))
            where = slice(part.start * itemsize, part.stop * itemsize)
            self.view(step.output)[0][where] = np.frombuffer(values.tobytes(), np.uint8)

    def by_rows(self, i, step, operator):
        """Units of rows, in the direction that the plan says."""
        y = self.memory.program.tensors[step.output]
        window, rows = operator.window, step.call.rows
        row_bytes = self.view(step.output)[0].size // y.shape[1]
        units = range(step.call.units)
        for unit in reversed(units) if i in self.arena.backward else units:
            self.spoil(i, step)
            first, end = unit * rows, min(unit * rows + rows, y.shape[1])
            x = self.read(step.inputs[0]).copy()
            low = max(0, first * window.strides[0] - window.pads[0])
            high = (end - 1) * window.strides[0] - window.pads[0] + window.extent[0]
            unseen = np.ones(x.shape[1], bool)
            unseen[low : max(low, high)] = False
            x[:, unseen] = self.rng.integers(-100, 100, (1, int(unseen.sum()), *x.shape[2:]))
            values = operator.integer(x)[:, first:end]
            where = slice(first * row_bytes, end * row_bytes)
            self.view(step.output)[0][where] = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
