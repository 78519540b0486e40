"""Files whose scales are powers of two meet ties in every layer: their programs give ONNX Runtime's integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.qdq_net import Net, run_all

import intaglio as ig
from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.lower import lower
from intaglio.number import Rule

S8, U8 = np.int8, np.uint8
IMAGE = ("N", 8, 8, 8)
Build = Callable[[Net, str], str]


def weight(net: Net, *shape: int, axis: int | None = None) -> str:
    """A constant of int8 codes: one power of two for all of it, or one for each of its channels."""
    codes = net.rng.integers(-127, 128, shape).astype(S8)
    scale = 2.0 ** -(net.rng.integers(6, 9, shape[axis]) if axis is not None else 7)
    return net.codes(codes, scale, axis)


def bias(net: Net, size: int) -> Any:
    """Real numbers on the grid of every accumulator, also of one with 2**-4 for the data and 2**-6 for the weights."""
    return (net.rng.integers(-500, 501, size) * 2.0**-10).astype(np.float32)


def convolution(groups: int, axis: int | None) -> Build:
    def build(net: Net, x: str) -> str:
        filters = weight(net, 8, 8 // groups, 3, 3, axis=axis)
        return net.op("Conv", x, filters, bias(net, 8), group=groups, pads=[1] * 4)

    return build


def transposed(net: Net, x: str) -> str:
    return net.op("ConvTranspose", x, weight(net, 8, 4, 3, 3), strides=[2, 2])


def dense(net: Net, x: str) -> str:
    return net.op("Gemm", net.op("Flatten", x), weight(net, 10, 512, axis=0), transB=1)


def product(net: Net, x: str) -> str:
    other = net.pair(net.op("Transpose", x, perm=[0, 1, 3, 2]), 2.0**-5, S8(0))
    return net.op("MatMul", x, other)


def two(op_type: str) -> Build:
    """An operator of two values that have scales of their own."""

    def build(net: Net, x: str) -> str:
        other = net.pair(net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), 2.0**-5, S8(3))
        return net.op(op_type, x, other)

    return build


def joined(net: Net, x: str) -> str:
    other = net.pair(net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), 2.0**-5, S8(3))
    return net.op("Concat", x, other, axis=1)


def one(op_type: str, *others: Any, **attributes: Any) -> Build:
    return lambda net, x: net.op(op_type, x, *others, **attributes)


FORMS: dict[str, tuple[Build, int]] = {  # and minus the binary logarithm of the output's scale
    "convolution": (convolution(1, None), 1),
    "convolution per channel": (convolution(1, 0), 1),
    "depthwise": (convolution(8, 0), 3),
    "transposed convolution": (transposed, 1),
    "dense": (dense, 0),
    "product of values": (product, 1),
    "sum": (two("Add"), 3),
    "difference": (two("Sub"), 3),
    "product": (two("Mul"), 2),
    "average pool": (one("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), 4),
    "global average pool": (one("GlobalAveragePool"), 5),
    "mean": (one("ReduceMean", axes=[2, 3], keepdims=0), 5),
    "concatenation": (joined, 3),
    "relu": (one("Relu"), 3),
    "clip": (one("Clip", np.float32(0), np.float32(4)), 3),
    "leaky relu": (one("LeakyRelu", alpha=0.25), 3),
    "resize": (one("Resize", "", np.array([1, 1, 2, 2], np.float32), mode="linear"), 4),
}


@pytest.mark.parametrize("codes", [S8, U8])
@pytest.mark.parametrize("form", FORMS)
def test_ties_are_rounded_as_onnx_runtime_does(form: str, codes: type, tmp_path: Path) -> None:
    build, places = FORMS[form]
    net = Net(seed=sum(form.encode()))
    x = net.pair("x", 2.0**-4, codes(0 if codes is S8 else 128))
    y = net.pair(build(net, x), 2.0**-places, codes(-2 if codes is S8 else 120), out="y")
    path = tmp_path / "theirs.onnx"
    onnx.save(net.model(IMAGE, y), path)
    graph, plan, _ = load_quantized_graph(path)
    assert plan.rule is Rule.HALF_EVEN
    program = lower(graph, plan)
    data = (np.random.default_rng(1).integers(-128, 128, (32, *IMAGE[1:])) * 2.0**-4).astype(np.float32)
    theirs = run_all(path, [data], "ORT_DISABLE_ALL")[0]
    np.testing.assert_array_equal(program.run(data), theirs)
    assert len(np.unique(theirs)) > 10
    np.testing.assert_array_equal(ig.compile(program, "portable", tmp_path / "c").run(data), theirs)
