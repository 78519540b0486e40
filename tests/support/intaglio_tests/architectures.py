"""Random networks of the families that people bring; each seed draws a family, its sizes and an exporter's dialect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from intaglio_tests.dialect import Dialect, Shape

IMAGE_ACTIVATIONS = (
    "Relu", "Relu", "relu6", "hardswish", "silu", "LeakyRelu", "Elu", "PRelu", "mish", "Softplus", "Tanh",
)  # fmt: skip
Family = Callable[[Dialect], list[str]]


@dataclass(frozen=True)
class Drawn:
    """A network and what it is fed with.

    Args:
        family: its name.
        model: the network.
        inputs: shapes by name, without the batch.
        seed: what it was drawn from.
    """

    family: str
    model: onnx.ModelProto
    inputs: dict[str, Shape]
    seed: int

    def data(self, samples: int) -> dict[str, NDArray[np.float32]]:
        """Inputs: normal, heavy tailed, or between 0 and 1."""
        kind = self.seed % 3
        rng = np.random.default_rng((self.seed, 1))
        made = {}
        for name, size in self.inputs.items():
            shape = (samples, *size)
            x = rng.normal(size=shape) if kind == 0 else rng.standard_t(4, shape) if kind == 1 else rng.random(shape)
            made[name] = x.astype(np.float32)
        return made


def draw(seed: int) -> Drawn:
    """The network of a seed."""
    dialect = Dialect(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    outputs = family(dialect)
    return Drawn(family.__name__, dialect.model(*outputs), dialect.inputs, seed)


def classifier(d: Dialect) -> list[str]:
    """Stages of one kind of block, a pool and a dense layer."""
    x = stem(d)
    block = d.pick(residual, bottleneck, inverted_residual, ghost, shuffle, dense_block, inception, fire)
    act = d.pick(*IMAGE_ACTIVATIONS)
    for _ in range(d.pick(1, 2, 3)):
        x = block(d, x, act)
    return [head(d, x)]


def segmenter(d: Dialect) -> list[str]:
    """An encoder, atrous pyramid, and a decoder with skips."""
    x = stem(d)
    act = d.pick(*IMAGE_ACTIVATIONS)
    skip = d.activation(d.conv(x, 8), act)
    deep = d.activation(d.conv(skip, 12, stride=2), act)
    branches = [d.activation(d.conv(deep, 4, 3, dilation=r), act) for r in (1, 2, 3)[: d.pick(1, 2, 3)]]
    if d.chance(0.5):
        branches.append(broadcast_pool(d, deep, act))
    y = d.add("Concat", branches, (sum(d.shapes[b][0] for b in branches), *d.shapes[deep][1:]), axis=1)
    y = upsample(d, y, d.shapes[skip][1:])
    if d.chance(0.5):
        y = d.add("Concat", [y, skip], (d.shapes[y][0] + 8, *d.shapes[skip][1:]), axis=d.pick(1, -3))
    else:
        y = d.add("Add", [d.conv(y, 8, 1), skip], d.shapes[skip])
    scores = d.conv(y, 5, 1, norm=False)
    return [d.add("Softmax", [scores], d.shapes[scores], axis=1)] if d.chance(0.3) and d.opset >= 13 else [scores]


def detector(d: Dialect) -> list[str]:
    """A feature pyramid with boxes and scores, and the arithmetic that follows them."""
    x = stem(d)
    act = d.pick(*IMAGE_ACTIVATIONS)
    fine = d.activation(d.conv(x, 8), act)
    coarse = d.activation(d.conv(fine, 12, stride=2), act)
    lateral = d.conv(fine, 8, 1)
    y = d.add("Add", [lateral, upsample(d, d.conv(coarse, 8, 1), d.shapes[fine][1:])], d.shapes[lateral])
    y = d.activation(d.conv(y, 8, groups=d.pick(1, 8)), act)
    h, w = d.shapes[y][1:]
    raw = d.conv(y, 7, 1, norm=False)
    flat = d.transpose(d.reshape(raw, 7, h * w), 2, 1)
    centre, size, score = d.split(flat, 2, 2, 2, 3)
    offset = d.constant(d.rng.uniform(-1, 1, (1, h * w, 2)).astype(np.float32))
    centre = d.add("Add", [d.add("Sigmoid", [centre], d.shapes[centre]), offset], d.shapes[centre])
    size = d.add("Exp", [d.clip(size, -3.0, 1.5)], d.shapes[size])
    score = d.add("Sigmoid", [score], d.shapes[score])
    if d.chance(0.5):
        return [d.add("Concat", [centre, size, score], (h * w, 7), axis=-1)]
    return [centre, size, score]


def transformer(d: Dialect) -> list[str]:
    """Tokens of an image or a sequence, blocks of attention, a pool and a dense layer."""
    width = d.pick(8, 16)
    if d.chance(0.5):
        x = d.conv(d.input("x", (3, 12, 12)), width, 3, 3, norm=False)
        x = d.transpose(d.reshape(x, width, 16), 2, 1)
    else:
        x = d.linear(d.input("x", (d.pick(6, 9), 10)), width)
    position = d.constant((d.rng.normal(size=(1, *d.shapes[x])) * 0.2).astype(np.float32))
    x = d.add("Add", [x, position], d.shapes[x])
    for _ in range(d.pick(1, 2)):
        x = encoder_block(d, x)
    x = d.on_axes("ReduceMean", d.layer_norm(x), (1,), (width,), keepdims=0)
    return [d.linear(x, 5)]


def mixer(d: Dialect) -> list[str]:
    """Dense layers along tokens and channels, gates and norms."""
    x = d.linear(d.input("x", (8, 12)), 12)
    for _ in range(d.pick(1, 2, 3)):
        y = d.transpose(d.layer_norm(x), 2, 1)
        y = d.transpose(d.linear(d.activation(d.linear(y, 16), d.pick("gelu", "Relu", "silu")), 8), 2, 1)
        x = d.add("Add", [x, y], d.shapes[x])
        y = d.linear(d.layer_norm(x), 24)
        x = d.add("Add", [d.linear(gated(d, y), 12), x], d.shapes[x])
    return [d.linear(d.reshape(x, 96), 4)]


def temporal(d: Dialect) -> list[str]:
    """Convolutions over time, dilated and gated, as keyword spotters and vocoders have them."""
    x = d.input("x", (d.pick(5, 8), d.pick(17, 24)))
    x = d.conv(x, 12, 3)
    for dilation in (1, 2, 4)[: d.pick(1, 2, 3)]:
        y = d.conv(x, 12, 3, dilation=dilation, groups=d.pick(1, 12))
        if d.chance(0.5):
            a, b = d.conv(y, 12, 1), d.conv(y, 12, 1)
            y = d.add("Mul", [d.add("Tanh", [a], d.shapes[a]), d.add("Sigmoid", [b], d.shapes[b])], d.shapes[a])
        else:
            y = d.activation(y, d.pick("Relu", "LeakyRelu", "silu", "Elu"))
        x = d.add("Add", [d.conv(y, 12, 1), x], d.shapes[x])
    if d.chance(0.5):
        return [d.conv(x, 3, 1, norm=False)]
    pooled = d.on_axes(d.pick("ReduceMean", "ReduceMax"), x, (2,), (12,), keepdims=0)
    return [d.linear(pooled, 6)]


def two_towers(d: Dialect) -> list[str]:
    """Two inputs through the same weights, compared."""
    a, b = d.input("left", (10,)), d.input("right", (10,))
    first, second = d.weight(10, 16, fan=10, axis=1), d.weight(16, 8, fan=16, axis=1)
    act = d.pick("Relu", "Tanh", "silu", "gelu")

    def tower(x: str) -> str:
        y = d.activation(d.add("MatMul", [x, first], (16,)), act)
        return d.add("MatMul", [y, second], (8,))

    u, v = tower(a), tower(b)
    kind = d.pick("product", "difference", "concat")
    if kind == "concat":
        return [d.linear(d.activation(d.add("Concat", [u, v], (16,), axis=-1), act), 2)]
    y = d.add("Mul" if kind == "product" else "Sub", [u, v], (8,))
    y = d.add("Abs", [y], (8,)) if kind == "difference" else y
    return [d.on_axes("ReduceSum", y, (1,), (1,), keepdims=1), u] if d.chance(0.5) else [d.linear(y, 2)]


def autoencoder(d: Dialect) -> list[str]:
    """Strided convolutions down, transposed ones or shuffled pixels up."""
    act = d.pick(*IMAGE_ACTIVATIONS)
    x = d.input("x", (d.pick(1, 3), 12, 12))
    y = d.activation(d.conv(x, 8, stride=2), act)
    y = d.activation(d.conv(y, 8, stride=1, groups=d.pick(1, 2, 8)), act)
    if d.chance(0.5):
        y = d.add("DepthToSpace", [d.conv(y, 12, 3)], (3, 12, 12), blocksize=2, mode=d.pick("DCR", "CRD"))
    else:
        groups = d.pick(1, 2)
        w = d.weight(8, 4 // groups, 4, 4, fan=8 * 4 // groups, axis=1)
        y = d.image_layer(
            "ConvTranspose", y, [w, d.constant(d.vector(4, -0.2, 0.2))], (4, 12, 12),
            strides=[2, 2], pads=[1, 1, 1, 1], group=groups,
        )  # fmt: skip
        y = d.activation(y, act)
    y = d.conv(y, d.shapes[x][0], norm=False)
    return [d.add(d.pick("Sigmoid", "Tanh"), [y], d.shapes[y])] if d.chance(0.6) else [y]


FAMILIES: tuple[Family, ...] = (
    classifier, segmenter, detector, transformer, mixer, temporal, two_towers, autoencoder, classifier,
)  # fmt: skip


def stem(d: Dialect) -> str:
    """The image, sometimes normalised in the network, and a first convolution, sometimes with a pool."""
    x = d.input("x", (3, d.pick(12, 15, 16), d.pick(12, 16)))
    if d.chance(0.2):
        mean, deviation = d.vector(3, 0.3, 0.6).reshape(3, 1, 1), d.vector(3, 0.2, 0.3).reshape(3, 1, 1)
        x = d.add("Sub", [x, d.constant(mean)], d.shapes[x])
        x = d.add("Div", [x, d.constant(deviation)], d.shapes[x])
    x = d.activation(d.conv(x, 8, d.pick(3, 5), d.pick(1, 2)), "Relu")
    if d.chance(0.3):
        c, h, w = d.shapes[x]
        size = (c, (h + 1) // 2, (w + 1) // 2)
        pads = [1, 1, (size[1] - 1) * 2 + 2 - h, (size[2] - 1) * 2 + 2 - w]
        x = d.image_layer("MaxPool", x, [], size, kernel_shape=[3, 3], strides=[2, 2], pads=pads)
    return x


def head(d: Dialect, x: str) -> str:
    """Global pool in one of its forms, flatten, dense layer, and here and there a softmax."""
    c, h, w = d.shapes[x]
    kind = d.pick("global", "mean", "window", "flatten", "maximum")
    if kind == "global":
        x = d.add("GlobalAveragePool", [x], (c, 1, 1))
    elif kind == "maximum":
        x = d.add("GlobalMaxPool", [x], (c, 1, 1))
    elif kind == "mean":
        x = d.on_axes("ReduceMean", x, (2, 3), (c, 1, 1), keepdims=1)
    elif kind == "window":
        x = d.add("AveragePool", [x], (c, 1, 1), kernel_shape=[h, w])
    count = math.prod(d.shapes[x])
    x = d.add("Flatten", [x], (count,)) if d.chance(0.5) else d.reshape(x, count)
    x = d.linear(x, 6)
    return d.add("Softmax", [x], (6,), axis=d.pick(1, -1)) if d.chance(0.2) else x


def residual(d: Dialect, x: str, act: str) -> str:
    c = d.shapes[x][0]
    stride, out = d.pick((1, c), (2, 12))
    y = d.conv(d.activation(d.conv(x, out, 3, stride), act), out)
    skip = x if (stride, out) == (1, c) else d.conv(x, out, 1, stride)
    return d.activation(d.add("Add", [y, skip], d.shapes[y]), act)


def bottleneck(d: Dialect, x: str, act: str) -> str:
    c = d.shapes[x][0]
    y = d.activation(d.conv(x, 4, 1), act)
    y = d.activation(d.conv(y, 4, 3, groups=d.pick(1, 2)), act)
    return d.activation(d.add("Add", [x, d.conv(y, c, 1)], d.shapes[x]), act)


def inverted_residual(d: Dialect, x: str, act: str) -> str:
    """Expand, depthwise, squeeze and excite, project (MobileNetV2 and V3, EfficientNet)."""
    c = d.shapes[x][0]
    y = d.activation(d.conv(x, 2 * c, 1), act)
    y = d.activation(d.conv(y, 2 * c, d.pick(3, 5), groups=2 * c), act)
    if d.chance(0.5):
        y = squeeze_excite(d, y)
    y = d.conv(y, c, 1)
    return d.add("Add", [x, y], d.shapes[x])


def squeeze_excite(d: Dialect, x: str) -> str:
    c = d.shapes[x][0]
    g = d.on_axes("ReduceMean", x, (2, 3), (c, 1, 1), keepdims=1) if d.chance(0.5) else (
        d.add("GlobalAveragePool", [x], (c, 1, 1))
    )  # fmt: skip
    g = d.conv(d.activation(d.conv(g, 4, 1, norm=False), d.pick("Relu", "silu")), c, 1, norm=False)
    g = d.add(d.pick("Sigmoid", "HardSigmoid"), [g], (c, 1, 1))
    return d.add("Mul", [x, g] if d.chance(0.5) else [g, x], d.shapes[x])


def ghost(d: Dialect, x: str, act: str) -> str:
    c = d.shapes[x][0]
    some = d.activation(d.conv(x, c // 2, 1), act)
    more = d.activation(d.conv(some, c // 2, 3, groups=c // 2), act)
    y = d.add("Concat", [some, more], d.shapes[x], axis=1)
    return d.add("Add", [y, x], d.shapes[x])


def shuffle(d: Dialect, x: str, act: str) -> str:
    """Half the channels stay, half are convolved, then they are shuffled (ShuffleNetV2)."""
    c, h, w = d.shapes[x]
    left, right = d.split(x, 1, c // 2, c // 2)
    right = d.activation(d.conv(right, c // 2, 1), act)
    right = d.activation(d.conv(d.conv(right, c // 2, 3, groups=c // 2), c // 2, 1), act)
    y = d.add("Concat", [left, right], (c, h, w), axis=1)
    y = d.transpose(d.reshape(y, 2, c // 2, h, w), 2, 1, 3, 4)
    return d.reshape(y, c, h, w)


def dense_block(d: Dialect, x: str, act: str) -> str:
    c, h, w = d.shapes[x]
    y = d.conv(d.activation(d.norm(x), act), 4)
    y = d.add("Concat", [x, y], (c + 4, h, w), axis=1)
    if d.chance(0.3) and min(h, w) >= 4:
        return d.image_layer("AveragePool", y, [], (c + 4, h // 2, w // 2), kernel_shape=[2, 2], strides=[2, 2])
    return y


def inception(d: Dialect, x: str, act: str) -> str:
    c, h, w = d.shapes[x]
    a = d.activation(d.conv(x, 4, 1), act)
    b = d.activation(d.conv(d.activation(d.conv(x, 4, 1), act), 4, 3), act)
    kind = d.pick("MaxPool", "AveragePool")
    counted = {"count_include_pad": d.pick(0, 1)} if kind == "AveragePool" else {}
    pooled = d.image_layer(kind, x, [], (c, h, w), kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], **counted)
    return d.add("Concat", [a, b, d.conv(pooled, 4, 1)], (12, h, w), axis=1)


def fire(d: Dialect, x: str, act: str) -> str:
    s = d.activation(d.conv(x, 4, 1), act)
    parts = [d.activation(d.conv(s, 4, 1), act), d.activation(d.conv(s, 4, 3), act)]
    return d.add("Concat", parts, (8, *d.shapes[x][1:]), axis=1)


def upsample(d: Dialect, x: str, to: tuple[int, ...]) -> str:
    """Resize to a size."""
    c = d.shapes[x][0]
    mode = d.pick("nearest", "linear")
    how = d.pick("half_pixel", "asymmetric", "align_corners") if mode == "linear" else "asymmetric"
    sizes = tuple(t / n for t, n in zip(to, d.shapes[x][1:], strict=True))
    scales = d.constant(np.array([1, 1, *sizes], np.float32))
    form = {"nearest_mode": "floor"} if mode == "nearest" else {}
    empty = "" if d.opset >= 13 else d.constant(np.zeros(0, np.float32))
    return d.add("Resize", [x, empty, scales], (c, *to), mode=mode, coordinate_transformation_mode=how, **form)


def broadcast_pool(d: Dialect, x: str, act: str) -> str:
    """A global pool, a convolution, and its value everywhere (the image branch of an atrous pyramid)."""
    size = d.shapes[x]
    y = d.add("GlobalAveragePool", [x], (size[0], 1, 1))
    return upsample(d, d.activation(d.conv(y, 4, 1, norm=False), act), size[1:])


def encoder_block(d: Dialect, x: str) -> str:
    """Attention and a gated or plain dense part; norm before or after."""
    before = d.chance(0.7)
    y = attention(d, d.layer_norm(x) if before else x)
    x = d.add("Add", [x, y], d.shapes[x])
    x = x if before else d.layer_norm(x)
    width = d.shapes[x][-1]
    y = d.linear(d.layer_norm(x) if before else x, 2 * width)
    y = gated(d, y) if d.chance(0.3) else d.activation(y, d.pick("gelu", "Relu", "silu"))
    x = d.add("Add", [d.linear(y, width), x], d.shapes[x])
    return x if before else d.layer_norm(x)


def attention(d: Dialect, x: str) -> str:
    """Two heads; queries, keys and values from one dense layer or three; with or without a mask."""
    n, width = d.shapes[x]
    half = width // 2
    if d.chance(0.5):
        q, k, v = d.split(d.linear(x, 3 * width), 2, width, width, width)
    else:
        q, k, v = (d.linear(x, width) for _ in range(3))
    q = d.transpose(d.reshape(q, n, 2, half), 2, 1, 3)
    k = d.transpose(d.reshape(k, n, 2, half), 2, 3, 1)
    v = d.transpose(d.reshape(v, n, 2, half), 2, 1, 3)
    scale = d.number(1 / math.sqrt(half))
    if d.chance(0.5):
        q = d.add("Mul", [q, scale], d.shapes[q])
        scores = d.add("MatMul", [q, k], (2, n, n))
    else:
        scores = d.add("MatMul", [q, k], (2, n, n))
        scores = d.add(d.pick("Mul", "Div"), [scores, scale], (2, n, n))
    if d.chance(0.3):
        mask = np.triu(np.full((1, 1, n, n), d.pick(-100.0, -1e4, -1e9), np.float32), 1)
        scores = d.add("Add", [scores, d.constant(mask)], (2, n, n))
    weights = d.add("Softmax", [scores], (2, n, n), axis=-1 if d.opset >= 13 else 3)
    y = d.transpose(d.add("MatMul", [weights, v], (2, n, half)), 2, 1, 3)
    return d.linear(d.reshape(y, n, width), width)


def gated(d: Dialect, x: str) -> str:
    """Half of the channels, times a function of the other half (GLU, SwiGLU)."""
    *lead, width = d.shapes[x]
    a, b = d.split(x, len(lead) + 1, width // 2, width // 2)
    gate = d.activation(b, d.pick("Sigmoid", "silu", "gelu"))
    return d.add("Mul", [a, gate], (*lead, width // 2))
