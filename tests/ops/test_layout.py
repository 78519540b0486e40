"""Images are channels-last inside a Program: the layout changes at the two ends and nowhere in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from intaglio.frontends.onnx import load_onnx
from intaglio.graph.access import shape
from intaglio.graph.passes import prepare

Model = Callable[..., onnx.ModelProto]
RNG = np.random.default_rng(3)


def normal(*size: int) -> Any:
    return (RNG.normal(size=size) / 4).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


class Build:
    """Nodes in a row, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}

    def __call__(self, op_type: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = []
        for given in inputs:
            if not isinstance(given, str):
                name = f"c{len(self.constants)}"
                self.constants[name] = given
                given = name
            names.append(given)
        results = [f"{op_type}{len(self.nodes)}{'abc'[i] if outputs > 1 else ''}" for i in range(outputs)]
        self.nodes.append(onnx.helper.make_node(op_type, names, results, f"n{len(self.nodes)}", **attributes))
        return results[0] if outputs == 1 else results


def residual_network(b: Build) -> str:
    x = b("Relu", b("Conv", "x", normal(8, 3, 3, 3), normal(8), pads=[1] * 4))
    x = b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = b("Conv", x, normal(8, 8, 3, 3), pads=[1] * 4)
    x = b("Relu", b("Add", x, y))
    x = b("Concat", b("Conv", x, normal(4, 8, 1, 1)), b("HardSwish", b("Conv", x, normal(4, 8, 1, 1))), axis=1)
    x = b("Flatten", b("GlobalAveragePool", x))
    return str(b("Gemm", x, normal(5, 8), normal(5), transB=1))


def flattened_image(b: Build) -> str:
    x = b("Relu", b("Conv", "x", normal(8, 3, 3, 3)))
    return str(b("Gemm", b("Flatten", x), normal(5, 8 * 6 * 4), normal(5), transB=1))


def squeeze_and_excite(b: Build) -> str:
    x = b("Conv", "x", normal(8, 3, 3, 3))
    y = b("ReduceMean", x, ints(2, 3), keepdims=0)
    y = b("Sigmoid", b("Gemm", y, normal(8, 8), normal(8), transB=1))
    x = b("Mul", x, b("Unsqueeze", y, ints(2, 3)))
    x = b("PRelu", x, normal(8, 1, 1))
    return str(b("Softmax", b("Squeeze", b("GlobalMaxPool", x), ints(2, 3)), axis=-1))


def halves(b: Build) -> str:
    left, right = b("Split", b("Conv", "x", normal(8, 3, 3, 3)), ints(4, 4), axis=1, outputs=2)
    right = b("Conv", b("Slice", right, ints(0), ints(2), ints(1)), normal(4, 2, 1, 1))
    x = b("Sub", b("Gather", left, ints(3, 2, 1, 0), axis=1), right)
    x = b("Pad", x, ints(0, 0, 1, 1, 0, 0, 1, 1))
    x = b("BatchNormalization", b("Abs", x), normal(4), normal(4), normal(4), np.abs(normal(4)) + 0.1)
    x = b("ReduceMax", x, ints(2), keepdims=0)
    return str(b("ArgMax", x, axis=1, keepdims=0))


def upsampled(b: Build) -> str:
    x = b("Conv", "x", normal(8, 3, 3, 3))
    up = b("Resize", x, "", np.array([1, 1, 2, 2], np.float32), mode="linear")
    x = b("Add", up, b("Resize", x, "", np.array([1, 1, 2, 2], np.float32)))
    x = b("DepthToSpace", b("ConvTranspose", x, normal(8, 8, 2, 2), strides=[2, 2]), blocksize=2)
    x = b("SpaceToDepth", b("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4), blocksize=2)
    return str(b("Flatten", b("LogSoftmax", b("GlobalAveragePool", x), axis=1)))


def keras(b: Build) -> str:
    """Channels-last, as tf2onnx writes it: Transposes around each convolution."""
    x = b("Transpose", "x", perm=[0, 3, 1, 2])
    x = b("Transpose", b("Conv", x, normal(8, 6, 3, 3)), perm=[0, 2, 3, 1])
    x = b("Relu", b("Add", x, normal(8)))
    x = b("Transpose", b("Conv", b("Transpose", x, perm=[0, 3, 1, 2]), normal(4, 8, 1, 1)), perm=[0, 2, 3, 1])
    return str(b("MatMul", b("ReduceMean", x, ints(1, 2), keepdims=0), normal(4, 5)))


def sequence(b: Build) -> str:
    x = b("Relu", b("Conv", "s", normal(8, 6, 3)))
    x = b("Conv", b("MaxPool", x, kernel_shape=[2]), normal(8, 8, 3), group=1)
    x = b("LayerNormalization", b("Transpose", x, perm=[0, 2, 1]), normal(8), normal(8))
    return str(b("MatMul", x, normal(8, 5)))


def patches(b: Build) -> str:
    """The front of a vision transformer: an image becomes a sequence of its pixels."""
    x = b("Conv", "x", normal(8, 3, 2, 2), strides=[2, 2])
    x = b("Transpose", b("Reshape", x, ints(0, 8, 12)), perm=[0, 2, 1])
    x = b("Add", x, normal(1, 12, 8))
    x = b("Gelu", b("MatMul", b("LayerNormalization", x, normal(8), normal(8)), normal(8, 6)))
    return str(b("ReduceMean", x, ints(1), keepdims=0))


def shuffled(b: Build) -> str:
    """Channels of two groups in turn: one transposition that nothing can spare."""
    x = b("Reshape", b("Conv", "x", normal(8, 3, 3, 3)), ints(0, 2, 4, 6, 4))
    x = b("Reshape", b("Transpose", x, perm=[0, 2, 1, 3, 4]), ints(0, 8, 6, 4))
    return str(b("Flatten", b("GlobalAveragePool", b("Conv", x, normal(4, 4, 1, 1), group=2))))


# A network, and how often its data is transposed: once where an image enters with its channels first.
NETWORKS = {
    residual_network: 1, flattened_image: 1, squeeze_and_excite: 1, halves: 1, upsampled: 1, keras: 0, sequence: 1,
    patches: 1, shuffled: 2,
}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
@pytest.mark.parametrize("ready", [False, True], ids=["as_written", "prepared"])
def test_no_needless_transpose(network: Callable[[Build], str], ready: bool, model: Model, lowered: Any) -> None:
    b = Build()
    output = network(b)
    read = {name for node in b.nodes for name in node.input}
    inputs = {"x": ("n", 3, 8, 6), "s": ("n", 6, 20)} if network is not keras else {"x": ("n", 8, 3, 6)}
    graph = load_onnx(model(b.nodes, {n: s for n, s in inputs.items() if n in read}, b.constants, [output]))
    graph = prepare(graph) if ready else graph
    value = graph.inputs[0]
    x = np.random.default_rng(0).normal(size=(3, *shape(value)[1:]))
    case = lowered(graph, "cpu-int8", {str(value.name): x})
    case.check()
    kinds = case.kinds()
    assert kinds.count("transpose") == NETWORKS[network], kinds


def test_an_image_that_leaves_has_its_channels_first_again(model: Model, lowered: Any) -> None:
    graph = load_onnx(
        model([onnx.helper.make_node("Conv", ["x", "w"], ["y"])], {"x": ("n", 3, 8, 6)}, {"w": normal(4, 3, 3, 3)})
    )
    case = lowered(graph, "cpu-int8", {"x": RNG.normal(size=(2, 3, 8, 6))})
    assert case.kinds() == ["transpose", "conv2d", "transpose"]
    assert case.program.run(case.x["x"]).shape == (2, 4, 6, 4)
    assert case.program.tensors[case.program.outputs[0]].axes == (0, 1, 2, 3)


def test_an_image_of_one_channel_or_one_pixel_is_only_reshaped(model: Model, lowered: Any) -> None:
    for size in ((1, 8, 6), (5, 1, 1)):
        graph = load_onnx(
            model(
                [onnx.helper.make_node("Conv", ["x", "w"], ["y"])], {"x": ("n", *size)}, {"w": normal(1, size[0], 1, 1)}
            )
        )
        case = lowered(graph, "cpu-int8", {"x": RNG.normal(size=(2, *size))})
        assert case.kinds() == ["reshape", "conv2d", "reshape"]
        case.check()
