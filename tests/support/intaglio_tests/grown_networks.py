"""Networks that grow node by node out of random operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Shape = tuple[int, ...]
SMOOTH = (
    "Abs",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Mish",
    "Neg",
    "Sigmoid",
    "Softplus",
    "Tanh",
)


class Grower:
    """A network that grows node by node; values know their shape, without the batch, which one in eight has not."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lead = int(seed % 8 != 7)  # axes in front of those in `shapes`
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.shapes: dict[str, Shape] = {}
        self.read: set[str] = set()
        kind = self.rng.integers(4)
        size: Shape = (4, 8, 6) if kind < 2 else (6, 10) if kind == 2 else (12,)
        self.inputs = {"x": size}
        if self.rng.random() < 0.2:
            self.inputs["x2"] = size
        self.shapes.update(self.inputs)
        for _ in range(int(self.rng.integers(4, 22))):
            self.grow()
        self.outputs = [name for name in self.shapes if name not in self.read and name not in self.inputs]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def weight(self, *size: int, fan: int) -> str:
        return self.constant((self.rng.normal(size=size) / math.sqrt(fan)).astype(np.float32))

    def vector(self, *size: int, low: float = -1.0, high: float = 1.0) -> str:
        return self.constant(self.rng.uniform(low, high, size).astype(np.float32))

    def add(self, op_type: str, inputs: list[str], size: Shape, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op_type, inputs, [name], f"{op_type}_{name}", **attributes))
        self.shapes[name] = size
        self.read.update(inputs)
        return name

    def value(self, rank: int | None = None, like: Shape | None = None) -> str | None:
        """A value, recent ones more often."""
        names = [n for n, s in self.shapes.items() if rank in (None, len(s)) and like in (None, s)]
        if not names:
            return None
        back = min(len(names), 1 + int(self.rng.geometric(0.5)))
        return names[-back]

    def full(self, size: Shape) -> tuple[int | str, ...]:
        """A shape with the open batch."""
        return ("n", *size) if self.lead else size

    def axes(self, *axes: int) -> tuple[int, ...]:
        """ONNX's numbers of axes of `shapes`."""
        return tuple(axis + self.lead for axis in axes)

    def grow(self) -> None:
        """One step: an operator, or a few that belong together."""
        x = self.value()
        assert x is not None
        steps = [*ANY_RANK, *(BY_RANK[len(self.shapes[x])] if self.lead else BATCHLESS)]
        steps[int(self.rng.integers(len(steps)))](self, x)

    def model(self) -> onnx.ModelProto:
        value_info = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self.nodes,
            "network",
            [value_info(name, onnx.TensorProto.FLOAT, self.full(size)) for name, size in self.inputs.items()],
            [value_info(name, onnx.TensorProto.FLOAT, self.full(self.shapes[name])) for name in self.outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 24)], ir_version=10)


Step = Callable[[Grower, str], Any]


def function(g: Grower, x: str) -> None:
    g.add(g.pick(*SMOOTH), [x], g.shapes[x])


def clamp(g: Grower, x: str) -> None:
    if g.chance(0.6):
        g.add("Relu", [x], g.shapes[x])
    else:
        low, high = np.float32(-0.5), np.float32(g.pick(0.8, 6.0))
        g.add("Clip", [x, g.constant(low) if g.chance(0.7) else "", g.constant(high)], g.shapes[x])


def domain(g: Grower, x: str) -> None:
    """Functions that want positive or small numbers, behind one that makes them."""
    y = g.add("Sigmoid", [x], g.shapes[x])
    op_type = g.pick("Exp", "Log", "Pow", "Reciprocal", "Sqrt")
    if op_type in ("Log", "Reciprocal", "Sqrt"):
        y = g.add("Add", [y, g.constant(np.float32(0.3))], g.shapes[x])
    g.add(op_type, [y, g.constant(np.float32(2.0))] if op_type == "Pow" else [y], g.shapes[x])


def pair(g: Grower, x: str) -> None:
    other = g.value(like=g.shapes[x])
    assert other is not None
    y = g.add(g.pick("Add", "Add", "Sub", "Mul"), [x, other], g.shapes[x])
    if g.chance(0.4):
        clamp(g, y)


def with_constant(g: Grower, x: str) -> None:
    size = g.shapes[x]
    forms: list[Shape] = [(), (size[-1],), (size[0], *(1,) * (len(size) - 1)), size]
    op_type = g.pick("Add", "Sub", "Mul", "Div")
    low = 0.3 if op_type in ("Mul", "Div") else -1.0
    c = g.vector(*g.pick(*(forms[:3] if op_type == "Div" else forms)), low=low, high=1.5)
    g.add(op_type, [c, x] if op_type in ("Add", "Sub") and g.chance(0.3) else [x, c], size)


def concat(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axis = int(g.rng.integers(len(size)))
    fits = [
        n
        for n, s in g.shapes.items()
        if len(s) == len(size) and all(a == b for i, (a, b) in enumerate(zip(s, size, strict=True)) if i != axis)
    ]
    parts = [x, *(g.pick(*fits) for _ in range(int(g.rng.integers(1, 3))))]
    total = sum(g.shapes[p][axis] for p in parts)
    if total <= 24:
        g.add(
            "Concat",
            parts,
            (*size[:axis], total, *size[axis + 1 :]),
            axis=axis + g.lead if g.chance(0.5) else axis - len(size),
        )


def split(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axis = int(g.rng.integers(len(size)))
    if size[axis] < 2:
        return
    first = int(g.rng.integers(1, size[axis]))
    names = [f"v{len(g.nodes)}a", f"v{len(g.nodes)}b"]
    g.nodes.append(
        onnx.helper.make_node(
            "Split", [x, g.ints(first, size[axis] - first)], names, f"Split_{names[0]}", axis=axis + g.lead
        )
    )
    g.read.add(x)
    for name, part in zip(names, (first, size[axis] - first), strict=True):
        g.shapes[name] = (*size[:axis], part, *size[axis + 1 :])


def slice_(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axis = int(g.rng.integers(len(size)))
    if size[axis] < 3:
        return
    step = g.pick(1, 2, -1)
    index = slice(1, None, step) if step > 0 else slice(-1, 0, -1)
    left = len(range(size[axis])[index])
    ends = (2**31 - 1) if step > 0 else 0
    starts = 1 if step > 0 else -1
    inputs = [x, g.ints(starts), g.ints(ends), g.ints(axis + g.lead), g.ints(step)]
    g.add("Slice", inputs, (*size[:axis], left, *size[axis + 1 :]))


def gather(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axis = int(g.rng.integers(len(size)))
    if g.chance(0.3) and len(size) > 1:
        index = np.array(g.rng.integers(size[axis]), np.int64)
        g.add("Gather", [x, g.constant(index)], (*size[:axis], *size[axis + 1 :]), axis=axis + g.lead)
    else:
        indices = g.ints(*(int(i) for i in g.rng.integers(-size[axis], size[axis], 3)))
        g.add("Gather", [x, indices], (*size[:axis], 3, *size[axis + 1 :]), axis=axis + g.lead)


def transpose(g: Grower, x: str) -> None:
    size = g.shapes[x]
    order = [int(i) for i in g.rng.permutation(len(size))]
    y = g.add("Transpose", [x], tuple(size[i] for i in order), perm=[*range(g.lead), *g.axes(*order)])
    if g.chance(0.5):
        function(g, y)


def reshape(g: Grower, x: str) -> None:
    size = g.shapes[x]
    count = math.prod(size)
    forms: list[Shape] = [(count,), (size[0], count // size[0])]
    forms += [(c, count // c // w, w) for c in (2, 3, 4) for w in (2, 3, 4) if count % (c * w) == 0]
    to = forms[int(g.rng.integers(len(forms)))]
    g.add("Reshape", [x, g.ints(*[g.pick(0, -1) if len(to) == 1 else 0][: g.lead], *to)], to)


def reduce(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axes = sorted({int(i) for i in g.rng.integers(len(size), size=g.pick(1, 1, 2))})
    keepdims = g.chance(0.5) or len(axes) == len(size)
    left = tuple(1 if i in axes else n for i, n in enumerate(size) if keepdims or i not in axes)
    op_type = g.pick("ReduceMax", "ReduceMean", "ReduceMean", "ReduceMin", "ReduceSum")
    g.add(op_type, [x, g.ints(*g.axes(*axes))], left, keepdims=int(keepdims))


def squeeze(g: Grower, x: str) -> None:
    size = g.shapes[x]
    ones = [i for i, n in enumerate(size) if n == 1]
    if ones and len(size) > 1:
        at = g.pick(*ones)
        g.add("Squeeze", [x, g.ints(at + g.lead)], (*size[:at], *size[at + 1 :]))
    elif len(size) < 3:
        at = int(g.rng.integers(len(size) + 1))
        g.add("Unsqueeze", [x, g.ints(at + g.lead)], (*size[:at], 1, *size[at:]))


def softmax(g: Grower, x: str) -> None:
    g.add(
        g.pick("Softmax", "Softmax", "LogSoftmax"),
        [x],
        g.shapes[x],
        axis=int(g.rng.integers(len(g.shapes[x]))) + g.lead,
    )


def layer_norm(g: Grower, x: str) -> None:
    size = g.shapes[x]
    axis = int(g.rng.integers(len(size)))
    if math.prod(size[axis:]) > 1:
        inputs = [x, g.vector(*size[axis:], low=0.5), *([g.vector(*size[axis:])] if g.chance(0.7) else [])]
        g.add("LayerNormalization", inputs, size, axis=axis + g.lead, epsilon=1e-3)


def gate(g: Grower, x: str) -> None:
    """Squeeze and excite, or whatever broadcasts."""
    size = g.shapes[x]
    axes = tuple(i for i in range(len(size)) if g.chance(0.6))
    if not axes:
        return
    left = tuple(1 if i in axes else n for i, n in enumerate(size))
    y = g.add("ReduceMean", [x, g.ints(*g.axes(*axes))], left, keepdims=1)
    y = g.add(g.pick("Sigmoid", "HardSigmoid", "Tanh"), [y], left)
    g.add(g.pick("Mul", "Add"), [x, y] if g.chance(0.5) else [y, x], size)


def pad(g: Grower, x: str) -> None:
    size = g.shapes[x]
    before, after = ([int(i) for i in g.rng.integers(0, 2, len(size))] for _ in range(2))
    to = tuple(a + n + b for a, n, b in zip(before, size, after, strict=True))
    mode = g.pick("constant", "constant", "edge")
    fill = [g.constant(np.float32(0.7))] if mode == "constant" and g.chance(0.3) else []
    if max(to) <= 24:
        g.add("Pad", [x, g.ints(*[0][: g.lead], *before, *[0][: g.lead], *after), *fill], to, mode=mode)


def out_size(n: int, kernel: int, stride: int, pads: int, dilation: int = 1) -> int:
    return (n + pads - (kernel - 1) * dilation - 1) // stride + 1


def conv(g: Grower, x: str) -> None:
    size = g.shapes[x]
    channels, spatial = size[0], size[1:]
    kernel = [min(int(g.rng.integers(1, 4)), n) for n in spatial]
    strides = [int(g.rng.integers(1, 3)) if max(spatial) > 4 else 1 for _ in spatial]
    before, after = ([int(g.rng.integers(0, k)) for k in kernel] for _ in range(2))
    groups = g.pick(1, channels) if channels > 1 else 1
    out = channels * g.pick(1, 2) if groups > 1 else int(g.rng.integers(1, 9))
    if out > 16:
        return
    to = tuple(
        out_size(*a) for a in zip(spatial, kernel, strides, map(sum, zip(before, after, strict=True)), strict=True)
    )
    fan = channels // groups * math.prod(kernel)
    inputs = [x, g.weight(out, channels // groups, *kernel, fan=fan), *([g.vector(out)] if g.chance(0.7) else [])]
    y = g.add("Conv", inputs, (out, *to), pads=[*before, *after], strides=strides, group=groups)
    if g.chance(0.4):
        statistics = [g.vector(out, low=0.3), g.vector(out), g.vector(out), g.vector(out, low=0.2)]
        y = g.add("BatchNormalization", [y, *statistics], (out, *to))
    if g.chance(0.5):
        clamp(g, y)


def conv_transpose(g: Grower, x: str) -> None:
    size = g.shapes[x]
    channels, spatial = size[0], size[1:]
    kernel, strides = [g.pick(2, 3) for _ in spatial], [g.pick(1, 2) for _ in spatial]
    to = tuple((n - 1) * s + k - 1 for n, s, k in zip(spatial, strides, kernel, strict=True))
    if max(to) > 20 or min(to) < 1:
        return
    groups = g.pick(1, channels)
    out = channels if groups > 1 else 3
    fan = channels // groups * math.prod(kernel)
    pads = [0] * len(spatial) + [1] * len(spatial)
    g.add("ConvTranspose", [x, g.weight(channels, out // groups, *kernel, fan=fan), g.vector(out)], (out, *to),
          strides=strides, pads=pads, group=groups)  # fmt: skip


def batch_norm(g: Grower, x: str) -> None:
    c = g.shapes[x][0]
    g.add("BatchNormalization", [x, g.vector(c), g.vector(c), g.vector(c), g.vector(c, low=0.2)], g.shapes[x])


def prelu(g: Grower, x: str) -> None:
    size = g.shapes[x]
    g.add("PRelu", [x, g.vector(size[0], *(1,) * (len(size) - 1))], size)


def pool(g: Grower, x: str) -> None:
    size = g.shapes[x]
    op_type = g.pick("AveragePool", "MaxPool")
    if g.chance(0.3):
        g.add(f"Global{op_type}", [x], (size[0], *(1,) * (len(size) - 1)))
        return
    kernel = [min(g.pick(2, 3), n) for n in size[1:]]
    strides = [g.pick(1, 2) for _ in kernel]
    pads = [int(g.rng.integers(0, k)) for k in kernel]
    to = tuple(out_size(n, k, s, 2 * p) for n, k, s, p in zip(size[1:], kernel, strides, pads, strict=True))
    g.add(op_type, [x], (size[0], *to), kernel_shape=kernel, strides=strides, pads=[*pads, *pads])


def resize(g: Grower, x: str) -> None:
    size = g.shapes[x]
    to = tuple(int(g.rng.integers(1, 12)) for _ in size[1:])
    coordinates = g.pick("half_pixel", "align_corners", "asymmetric")
    g.add("Resize", [x, "", "", g.ints(*to)], (size[0], *to), mode=g.pick("nearest", "linear"),
          axes=list(range(2, len(size) + 1)), coordinate_transformation_mode=coordinates)  # fmt: skip


def blocks(g: Grower, x: str) -> None:
    c, h, w = g.shapes[x]
    if c % 4 == 0:
        g.add("DepthToSpace", [x], (c // 4, 2 * h, 2 * w), blocksize=2, mode=g.pick("DCR", "CRD"))
    elif h % 2 == w % 2 == 0:
        g.add("SpaceToDepth", [x], (4 * c, h // 2, w // 2), blocksize=2)


def flatten(g: Grower, x: str) -> None:
    y = g.add("Flatten", [x], (math.prod(g.shapes[x]),))
    if g.chance(0.7):
        linear(g, y)


def linear(g: Grower, x: str) -> None:
    size = g.shapes[x]
    inner, out = size[-1], int(g.rng.integers(2, 13))
    if len(size) == g.lead and g.chance(0.5):
        y = g.add("Gemm", [x, g.weight(out, inner, fan=inner), g.vector(out)], (out,), transB=1)
    else:
        y = g.add("MatMul", [x, g.weight(inner, out, fan=inner)], (*size[:-1], out))
        if g.chance(0.5):
            y = g.add("Add", [y, g.vector(out)], g.shapes[y])
    if g.chance(0.4):
        clamp(g, y)


def attention(g: Grower, x: str) -> None:
    """x @ x' and its softmax."""
    size = g.shapes[x]
    rank = len(size)
    if rank < 2:
        return
    turned = g.add(
        "Transpose",
        [x],
        (*size[:-2], size[-1], size[-2]),
        perm=[*range(g.lead + rank - 2), *g.axes(rank - 1, rank - 2)],
    )
    scores = g.add("MatMul", [x, turned], (*size[:-1], size[-2]))
    scores = g.add("Mul", [scores, g.constant(np.float32(0.3))], g.shapes[scores])
    weights = g.add("Softmax", [scores], g.shapes[scores], axis=-1)
    g.add("MatMul", [weights, x], size)


ANY_RANK: tuple[Step, ...] = (
    function, function, clamp, domain, pair, pair, with_constant, concat, concat, split, slice_, gather, transpose,
    reshape, reduce, squeeze, softmax, layer_norm, gate, pad,
)  # fmt: skip
SPATIAL: tuple[Step, ...] = (
    conv,
    conv,
    conv,
    conv_transpose,
    batch_norm,
    prelu,
    pool,
    pool,
    resize,
    flatten,
    linear,
    attention,
)
BATCHLESS: tuple[Step, ...] = (linear, linear, attention)
BY_RANK: dict[int, tuple[Step, ...]] = {
    1: (linear, linear, linear, batch_norm, prelu),
    2: (*SPATIAL, linear),
    3: (*SPATIAL, blocks, conv, conv),
}
