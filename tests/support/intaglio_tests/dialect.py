"""ONNX networks as different exporters write them: one vocabulary of layers, several spellings of each.

A `Dialect` draws once per network how its exporter writes things (opset, names, constants, batch norm, activations,
layer norm, image layout) and then writes every layer that way. Shapes are without the batch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
OPSETS = (11, 12, 13, 14, 15, 17, 18, 20, 21, 23)


class Dialect:
    """Nodes, constants and shapes of a network that grows.

    Args:
        seed: of everything that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = self.pick(*OPSETS)
        self.constant_nodes = self.chance(0.2)  # constants as nodes instead of initializers
        self.channels_last = self.chance(0.15)  # a Transpose before and after each layer on images
        self.batch_norm = self.pick("alive", "alive", "folded", "affine")
        self.decomposed = self.chance(0.4)  # activations and norms as chains of elementwise operators
        self.reshape_batch = self.pick(0, -1)  # how a Reshape writes the batch
        self.shuffled = self.chance(0.1)  # nodes in any order
        self.batch: str | int | None = self.pick("batch", "batch", None)
        self.name = self.pick("/net/layer.{0}/{1}_output_0", "{0}", "v.{0}", "{1}_{0}:0")
        self.spread = self.pick(0.0, 0.2, 0.6)  # standard deviation of log10 of the channels' sizes
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.shapes: dict[str, Shape] = {}
        self.inputs: dict[str, Shape] = {}

    # what is drawn

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, *values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def weight(self, *size: int, fan: int, axis: int = 0) -> str:
        """Weights whose output channels have different sizes."""
        around = [1] * len(size)
        around[axis] = size[axis]
        factors = 10 ** self.rng.normal(0, self.spread, around)
        return self.constant((self.rng.normal(size=size) * factors * math.sqrt(1.6 / fan)).astype(np.float32))

    def vector(self, n: int, low: float, high: float) -> NDArray[np.float32]:
        return self.rng.uniform(low, high, n).astype(np.float32)

    # what is written

    def input(self, name: str, size: Shape) -> str:
        self.inputs[name] = self.shapes[name] = size
        return name

    def constant(self, array: Any) -> str:
        name = self.name.format(f"c{len(self.constants)}", "constant")
        self.constants[name] = np.asarray(array)
        return name

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, op_type: str, inputs: list[str], size: Shape, outputs: int = 1, **attributes: Any) -> str:
        """A node with one output that is read; more are made where `outputs` says so."""
        first = self.name.format(len(self.nodes), op_type)
        names = [first, *(f"{first}.{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, inputs, names, f"{op_type} {len(self.nodes)}", **attributes))
        self.shapes[first] = size
        return first

    def on_axes(self, op_type: str, x: str, axes: tuple[int, ...], size: Shape, **attributes: Any) -> str:
        """Operators whose axes were an attribute before they became an input."""
        since = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13}.get(op_type, 18)
        if self.opset < since:
            return self.add(op_type, [x], size, axes=list(axes), **attributes)
        return self.add(op_type, [x, self.ints(*axes)], size, **attributes)

    def reshape(self, x: str, *size: int) -> str:
        """The batch is kept as 0, or counted as -1."""
        return self.add("Reshape", [x, self.ints(self.reshape_batch, *size)], size)

    def transpose(self, x: str, *order: int) -> str:
        """`order` of the axes behind the batch, counted from 1."""
        size = self.shapes[x]
        return self.add("Transpose", [x], tuple(size[i - 1] for i in order), perm=[0, *order])

    def split(self, x: str, axis: int, *sizes: int) -> list[str]:
        """Parts along an axis counted from 1."""
        size = self.shapes[x]
        given = {"split": list(sizes)} if self.opset < 13 else {}
        inputs = [x] if self.opset < 13 else [x, self.ints(*sizes)]
        at = axis if self.chance(0.5) else axis - len(size) - 1
        first = self.add("Split", inputs, size, outputs=len(sizes), axis=at, **given)
        names = [first, *(f"{first}.{i}" for i in range(1, len(sizes)))]
        for name, part in zip(names, sizes, strict=True):
            self.shapes[name] = (*size[: axis - 1], part, *size[axis:])
        return names

    # layers

    def image_layer(self, op_type: str, x: str, more: list[str], size: Shape, **attributes: Any) -> str:
        """An operator on images or sequences; a channels-last exporter puts a Transpose on either side."""
        if not self.channels_last:
            return self.add(op_type, [x, *more], size, **attributes)
        rank = len(size)
        last = self.transpose(x, *range(2, rank + 1), 1)
        first = self.transpose(last, rank, *range(1, rank))
        y = self.add(op_type, [first, *more], size, **attributes)
        return self.transpose(self.transpose(y, *range(2, rank + 1), 1), rank, *range(1, rank))

    def conv(
        self,
        x: str,
        out: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        groups: int = 1,
        dilation: int = 1,
        norm: bool = True,
    ) -> str:
        """A convolution of the size that 'same' padding gives, with or without a norm behind it."""
        channels, *spatial = self.shapes[x]
        to = tuple(-(-n // stride) for n in spatial)
        reach = dilation * (kernel - 1)
        total = [max(0, (m - 1) * stride + reach + 1 - n) for n, m in zip(spatial, to, strict=True)]
        before = [t // 2 for t in total]
        pads = [*before, *(t - b for t, b in zip(total, before, strict=True))]
        if self.chance(0.15) and any(pads):
            at = [0, 0, *pads[: len(spatial)], 0, 0, *pads[len(spatial) :]]
            padded = tuple(n + t for n, t in zip(spatial, total, strict=True))
            x = self.add("Pad", [x, self.ints(*at)], (channels, *padded), mode="constant")
            pads = [0] * len(pads)
        fan = channels // groups * kernel ** len(spatial)
        more = [self.weight(out, channels // groups, *([kernel] * len(spatial)), fan=fan)]
        if not norm or self.batch_norm == "folded":
            more.append(self.constant(self.vector(out, -0.3, 0.3)))
        form = {"auto_pad": "SAME_UPPER"} if self.chance(0.1) and any(pads) and dilation == 1 else {"pads": pads}
        y = self.image_layer(
            "Conv", x, more, (out, *to), group=groups, strides=[stride] * len(to), dilations=[dilation] * len(to),
            kernel_shape=[kernel] * len(to), **form,
        )  # fmt: skip
        return self.norm(y) if norm else y

    def norm(self, x: str) -> str:
        """Batch norm as this exporter leaves it."""
        size = self.shapes[x]
        c = size[0]
        gain, bias = self.vector(c, 0.6, 1.4), self.vector(c, -0.3, 0.3)
        if self.batch_norm == "alive":
            statistics = [gain, bias, self.vector(c, -0.3, 0.3), self.vector(c, 0.5, 1.5)]
            return self.add("BatchNormalization", [x, *map(self.constant, statistics)], size, epsilon=1e-5)
        if self.batch_norm == "affine":
            around = (c, *[1] * (len(size) - 1))
            y = self.add("Mul", [x, self.constant(gain.reshape(around))], size)
            return self.add("Add", [y, self.constant(bias.reshape(around))], size)
        return x

    def linear(self, x: str, out: int) -> str:
        """A dense layer on the last axis."""
        size = self.shapes[x]
        bias = self.vector(out, -0.3, 0.3)
        if len(size) == 1 and self.chance(0.6):
            w = self.weight(out, size[-1], fan=size[-1])
            return self.add("Gemm", [x, w, self.constant(bias)], (out,), transB=1)
        y = self.add("MatMul", [x, self.weight(size[-1], out, fan=size[-1], axis=1)], (*size[:-1], out))
        return self.add(
            "Add", [self.constant(bias), y] if self.chance(0.5) else [y, self.constant(bias)], (*size[:-1], out)
        )

    def layer_norm(self, x: str) -> str:
        """Over the last axis; before opset 17 and in decomposing exporters a chain."""
        size = self.shapes[x]
        gain, bias = self.vector(size[-1], 0.5, 1.5), self.vector(size[-1], -0.3, 0.3)
        if self.opset >= 17 and not self.decomposed:
            return self.add("LayerNormalization", [x, self.constant(gain), self.constant(bias)], size, axis=-1)
        one = (*size[:-1], 1)
        mean = self.on_axes("ReduceMean", x, (-1,), one, keepdims=1)
        centred = self.add("Sub", [x, mean], size)
        squared = self.add("Pow", [centred, self.number(2.0)], size)
        variance = self.on_axes("ReduceMean", squared, (-1,), one, keepdims=1)
        deviation = self.add("Sqrt", [self.add("Add", [variance, self.number(1e-5)], one)], one)
        y = self.add("Div", [centred, deviation], size)
        y = self.add("Mul", [y, self.constant(gain)], size)
        return self.add("Add", [y, self.constant(bias)], size)

    def clip(self, x: str, low: float, high: float) -> str:
        return self.add("Clip", [x, self.number(low), self.number(high)], self.shapes[x])

    def activation(self, x: str, kind: str) -> str:
        """An activation, by its own operator where the opset has one, or spelled out."""
        size = self.shapes[x]
        if kind == "relu6":
            return self.clip(x, 0.0, 6.0)
        if kind == "silu":
            return self.add("Mul", [x, self.add("Sigmoid", [x], size)], size)
        if kind == "hardswish":
            if self.opset >= 14 and not self.decomposed:
                return self.add("HardSwish", [x], size)
            gate = self.clip(self.add("Add", [x, self.number(3.0)], size), 0.0, 6.0)
            return self.add("Div", [self.add("Mul", [x, gate], size), self.number(6.0)], size)
        if kind == "gelu":
            if self.opset >= 20 and not self.decomposed:
                return self.add("Gelu", [x], size)
            e = self.add("Erf", [self.add("Div", [x, self.number(math.sqrt(2))], size)], size)
            y = self.add("Mul", [x, self.add("Add", [e, self.number(1.0)], size)], size)
            return self.add("Mul", [y, self.number(0.5)], size)
        if kind == "mish":
            return self.add("Mul", [x, self.add("Tanh", [self.add("Softplus", [x], size)], size)], size)
        if kind == "PRelu":
            slopes = self.vector(size[0], 0.0, 0.4).reshape(-1, *[1] * (len(size) - 1))
            return self.add("PRelu", [x, self.constant(slopes)], size)
        return self.add(kind, [x], size)

    # the whole

    def model(self, *outputs: str) -> onnx.ModelProto:
        nodes = list(self.nodes)
        info = helper.make_tensor_value_info
        held = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        if self.constant_nodes:
            nodes = [*(helper.make_node("Constant", [], [t.name], value=t) for t in held), *nodes]
            held = []
        if self.shuffled:
            nodes = [nodes[i] for i in self.rng.permutation(len(nodes))]
        graph = helper.make_graph(
            nodes,
            "network",
            [info(name, TensorProto.FLOAT, (self.batch, *size)) for name, size in self.inputs.items()],
            [info(name, TensorProto.FLOAT, (self.batch, *self.shapes[name])) for name in outputs],
            held,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
