"""A small Program with a bit of everything: two inputs, two outputs, packed weights, a constant, plain indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.number import INT8, INT32, UINT8, IntType, QuantParams, Rule
from intaglio.program import Node, Operator, Program, TensorInfo
from intaglio.program.operators.add import Add
from intaglio.program.operators.argmax import ArgMax
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.transpose import Transpose
from intaglio.program.sampling import codes, grid


class Builder:
    """Appends operators and keeps track of shapes, types and parameters."""

    def __init__(self, *, batched: bool = True) -> None:
        self.program = Program([], {}, {}, (), (), Rule.HALF_UP, "test", batched)

    def tensor(self, name: str, shape: tuple[int, ...], p: QuantParams | None, **more: object) -> str:
        type = INT32 if p is None else p.type
        self.program.tensors[name] = TensorInfo(name, shape, type, p, **more)  # type: ignore[arg-type]
        return name

    def input(self, name: str, shape: tuple[int, ...], p: QuantParams, **more: object) -> str:
        self.program.inputs += (name,)
        return self.tensor(name, shape, p, **more)

    def constant(self, name: str, array: np.ndarray, p: QuantParams) -> str:
        self.program.constants[name] = array
        return self.tensor(name, array.shape, p)

    def append(
        self, name: str, operator: Operator, inputs: Sequence[str], p: QuantParams | None, **more: object
    ) -> str:
        shape = operator.shape(*(self.program.tensors[i].shape for i in inputs))
        self.program.nodes.append(Node(f"{name}.node", operator, tuple(inputs), name))
        return self.tensor(name, shape, p, **more)


def make_small_program(*, batched: bool = True) -> Program:
    rng = np.random.default_rng(7)
    b = Builder(batched=batched)
    px, pc, pa, pl = grid(UINT8, 0.02, 100), grid(UINT8, 0.1, 128), grid(INT8, 0.1, 5), grid(INT8, 0.5, -3)
    image = b.input("image", (1, 3, 6, 5), px, graph_name="image")
    offset = b.input("offset", (1, 4), pa, graph_name="offset")
    x = b.append("image.last", Transpose((0, 2, 3, 1)), [image], px)
    w = grid(IntType(4, narrow=True), rng.uniform(0.1, 0.2, 4))
    conv = Conv2d.from_real(
        px, w, pc, codes(rng, w.type, (4, 3, 3, 3)), rng.normal(size=4), Rule.HALF_UP, pads=(1, 1, 1, 1)
    )
    x = b.append("conv", conv, [x], pc, graph_name="features", axes=(0, 2, 3, 1))
    shift = b.constant("shift", np.array([-8, 7, 3, 0], np.int8), grid(IntType(4), 0.2))
    x = b.append("shifted", Add.from_real(pc, grid(IntType(4), 0.2), pa, rule=Rule.HALF_UP), [x, shift], pa)
    x = b.append("pooled", MaxPool2d((6, 5), (1, 1), (1, 1), (0, 0, 0, 0), -128, 127), [x], pa)
    x = b.append("flat", Reshape((-1, 4)), [x], pa, graph_name="flat")
    x = b.append("moved", Add.from_real(pa, pa, pa, rule=Rule.HALF_UP, subtract=True), [x, offset], pa)
    weight = codes(rng, INT8, (10, 4))
    x = b.append(
        "logits", Dense.from_real(pa, grid(INT8, 0.05), pl, weight, None, Rule.HALF_UP), [x], pl, graph_name="logits"
    )
    b.append("class", ArgMax(1), [x], None, graph_name="class")
    b.program.outputs = ("logits", "class")
    b.program.metadata = {"producer": "test", "text": 'quotes " and \\ and ünïcode \u2028'}
    return b.program


def make_single_sample_program() -> Program:
    """The same network where it is not known that axis 0 is a batch."""
    program = make_small_program(batched=False)
    at = next(i for i, node in enumerate(program.nodes) if isinstance(node.operator, Reshape))
    program.nodes[at] = Node("flat.node", Reshape((1, 4)), program.nodes[at].inputs, "flat")
    return program


def make_delay() -> Program:
    """y = x + the x before, whose state has another shape; `count`, plain integers, and `half`, a constant, stay."""
    b, p = Builder(), grid(INT8, 0.1)
    x, before, kept = b.input("x", (1, 4), p), b.input("before", (1, 2, 2), p), b.input("kept", (1, 4), p)
    b.program.inputs += (b.tensor("count", (1, 4), None),)
    rows = b.append("rows", Reshape((-1, 4)), [before], p)
    y = b.append("y", Add.from_real(p, p, p, rule=Rule.HALF_UP), [x, rows], p)
    out = b.append("x_out", Reshape((-1, 2, 2)), [x], p)
    count = b.append("count_out", Reshape((-1, 4)), ["count"], None)
    half = b.constant("half", np.array([[5, 6, 7, 8]], np.int8), p)
    b.append("unused", Add.from_real(p, p, p, rule=Rule.HALF_UP), [kept, x], p)
    b.program.outputs = (y, out, count, half)
    return b.program.with_states({"before": out, "count": count, "kept": half}, {"count": 3})


def make_accumulator(read: QuantParams, kept: QuantParams, *, batched: bool = True) -> Program:
    """A leaky sum: state' = x / 8 + 3 / 4 state, y = state' + 0.5, over (1, 3).

    Args:
        read: the grid of the input `state`.
        kept: the grid of the output `state_out`, onto which the state is brought first.
    """
    b = Builder(batched=batched)
    px, py = grid(INT8, 0.05, 3), grid(UINT8, 0.04, 128)
    x = b.input("x", (1, 3), px)
    state = b.input("state", (1, 3), read)
    rows = b.append("state.rows", Reshape((-1 if batched else 1, 3)), [state], read)
    inner = b.append("state.inner", Requantize.from_real(read, kept, rule=Rule.HALF_UP), [rows], kept)
    parts = grid(INT8, 0.05 / 8, 3), grid(kept.type, float(kept.scale) * 3 / 4, int(kept.zero_point))
    sum_of = Add.from_real(*parts, kept, rule=Rule.HALF_UP)
    out = b.append("state_out", sum_of, [x, inner], kept)
    half = b.constant("half", np.array([[12, 13, 12]], np.int8), grid(INT8, 0.04))
    y = b.append("y", Add.from_real(kept, grid(INT8, 0.04), py, rule=Rule.HALF_UP), [out, half], py)
    b.program.outputs = (y, out)
    return b.program
