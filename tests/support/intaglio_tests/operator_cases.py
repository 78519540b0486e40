"""Every float operator in many forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.ops.positions import ROUND
from intaglio_tests.operator_nets import Booleans, Integers

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One operator in one form; `low` and `high` bound the inputs."""

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    inputs: dict[str, tuple[int | str, ...]]
    constants: dict[str, Array] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    low: float = -3.0
    high: float = 3.0

    @property
    def op_types(self) -> set[str]:
        return {node.op_type for node in self.nodes}


CASES: list[Case] = []
RNG = np.random.default_rng(20)


def normal(*size: int, scale: float = 1.0) -> Array:
    return (RNG.normal(size=size) * scale).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def case(
    op_type: str,
    form: str,
    *inputs: tuple[int | str, ...] | Array | None,
    outputs: int = 1,
    then: str | None = None,
    low: float = -3.0,
    high: float = 3.0,
    **attributes: Any,
) -> None:
    """One case: shapes are computed inputs, arrays are constants, None is left out; `then` follows the operator."""
    names, shapes, constants = [], {}, {}
    for i, given in enumerate(inputs):
        name = "" if given is None else f"{'x' if isinstance(given, tuple) else 'c'}{i}"
        names.append(name)
        if isinstance(given, tuple):
            shapes[name] = given
        elif given is not None:
            constants[name] = given
    results = ["y"] if outputs == 1 else [f"y{i}" for i in range(outputs)]
    first = ["between"] if then else results
    nodes = [onnx.helper.make_node(op_type, names, first, "node", **attributes)]
    if then:
        nodes.append(onnx.helper.make_node(then, first, results, "then"))
    name = f"{op_type}-{form}" + (f"-{then}" if then else "")
    CASES.append(Case(name, tuple(nodes), shapes, constants, tuple(results), low, high))


IMAGE, SEQUENCE, ROWS = ("n", 6, 9, 7), ("n", 6, 11), ("n", 13)


def convolutions() -> None:
    case("Conv", "3x3", IMAGE, normal(8, 6, 3, 3, scale=0.2), normal(8), pads=[1, 1, 1, 1])
    case("Conv", "no_bias", IMAGE, normal(8, 6, 3, 3, scale=0.2), then="Relu")
    case("Conv", "strided", IMAGE, normal(5, 6, 3, 2, scale=0.2), normal(5), pads=[1, 0, 2, 1], strides=[2, 3])
    case("Conv", "atrous", IMAGE, normal(4, 6, 3, 3, scale=0.2), normal(4), dilations=[3, 2], pads=[2, 2, 2, 2])
    case("Conv", "grouped", IMAGE, normal(9, 2, 3, 3, scale=0.3), normal(9), group=3)
    case("Conv", "depthwise", IMAGE, normal(6, 1, 3, 3, scale=0.3), normal(6), group=6, pads=[1, 1, 1, 1], then="Relu")
    case("Conv", "multiplied", IMAGE, normal(12, 1, 3, 3, scale=0.3), normal(12), group=6)
    case("Conv", "same_upper", IMAGE, normal(4, 6, 2, 4, scale=0.2), auto_pad="SAME_UPPER", strides=[2, 2])
    case("Conv", "same_lower", IMAGE, normal(4, 6, 2, 4, scale=0.2), auto_pad="SAME_LOWER", strides=[1, 2])
    case("Conv", "1d", SEQUENCE, normal(4, 6, 3, scale=0.3), normal(4), strides=[2], pads=[1, 2])
    case("Conv", "1d_depthwise", SEQUENCE, normal(6, 1, 3, scale=0.3), normal(6), group=6, dilations=[2])
    case("ConvTranspose", "3x3", IMAGE, normal(6, 4, 3, 3, scale=0.3), normal(4))
    case(
        "ConvTranspose", "strided", IMAGE, normal(6, 4, 3, 2, scale=0.3), strides=[2, 3], pads=[1, 0, 2, 1], then="Relu"
    )
    case(
        "ConvTranspose",
        "output_padding",
        IMAGE,
        normal(6, 4, 3, 3),
        strides=[2, 2],
        output_padding=[1, 1],
        pads=[1] * 4,
    )
    case("ConvTranspose", "output_shape", IMAGE, normal(6, 4, 3, 3), normal(4), strides=[3, 2], output_shape=[28, 15])
    case("ConvTranspose", "same_upper", IMAGE, normal(6, 4, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    case("ConvTranspose", "same_lower", IMAGE, normal(6, 4, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER")
    case("ConvTranspose", "dilated", IMAGE, normal(6, 4, 3, 3), normal(4), dilations=[2, 1], strides=[1, 2])
    case("ConvTranspose", "grouped", IMAGE, normal(6, 2, 3, 3), normal(6), group=3, strides=[2, 2])
    case("ConvTranspose", "depthwise", IMAGE, normal(6, 1, 4, 4), normal(6), group=6, strides=[2, 2], pads=[1] * 4)
    case("ConvTranspose", "1d", SEQUENCE, normal(6, 4, 3), normal(4), strides=[2], pads=[1, 0], output_padding=[1])


def volumes() -> None:
    volume = ("n", 4, 5, 6, 7)
    case("Conv", "3d", volume, normal(5, 4, 3, 3, 3, scale=0.1), normal(5), pads=[1] * 6)
    case("Conv", "3d_strided", volume, normal(5, 4, 2, 3, 2, scale=0.2), strides=[2, 2, 3], pads=[1, 0, 1, 0, 2, 0])
    case("Conv", "3d_rows", volume, normal(5, 4, 1, 3, 3, scale=0.2), normal(5), strides=[2, 2, 1], then="Relu")
    case("Conv", "3d_depth", volume, normal(5, 4, 3, 1, 1, scale=0.2), normal(5), pads=[1, 0, 0, 1, 0, 0])
    case("Conv", "3d_pointwise", volume, normal(5, 4, 1, 1, 1, scale=0.3), normal(5), strides=[2, 2, 2])
    case("Conv", "3d_depthwise", volume, normal(4, 1, 3, 3, 3, scale=0.3), normal(4), group=4, pads=[1] * 6)
    case("Conv", "3d_grouped", volume, normal(6, 2, 2, 2, 3, scale=0.3), group=2, dilations=[2, 1, 2])
    case("ConvTranspose", "3d", volume, normal(4, 3, 2, 2, 2, scale=0.3), normal(3), strides=[2, 2, 2])
    pads = {"pads": [1, 1, 0, 0, 1, 1], "output_padding": [1, 0, 1], "strides": [2, 1, 3]}
    case("ConvTranspose", "3d_padded", volume, normal(4, 3, 3, 3, 2, scale=0.3), normal(3), then="Relu", **pads)
    case("ConvTranspose", "3d_grouped", volume, normal(4, 2, 3, 2, 2, scale=0.3), group=2, dilations=[1, 2, 1])
    for op_type in ("AveragePool", "MaxPool"):
        case(op_type, "3d", volume, kernel_shape=[2, 2, 2], strides=[2, 2, 2])
        case(op_type, "3d_padded", volume, kernel_shape=[3, 3, 2], pads=[1, 1, 0, 1, 1, 1], strides=[2, 1, 2])
        case(op_type, "3d_ceil", volume, kernel_shape=[2, 3, 2], strides=[2, 2, 2], ceil_mode=1)
        case(op_type, "3d_depth", volume, kernel_shape=[3, 1, 1], strides=[1, 1, 1])
        case(op_type, "3d_planes", volume, kernel_shape=[1, 2, 2], strides=[1, 2, 2])
        case(f"Global{op_type}", "volume", volume)
    case("AveragePool", "3d_counted", volume, kernel_shape=[3, 3, 3], pads=[1] * 6, count_include_pad=1)


def products() -> None:
    case("Gemm", "transposed", ROWS, normal(10, 13), normal(10), transB=1)
    case("Gemm", "plain", ROWS, normal(13, 10), normal(10), then="Relu")
    case("Gemm", "no_bias", ROWS, normal(13, 10))
    case("MatMul", "rows", ROWS, normal(13, 10))
    case("MatMul", "sequence", ("n", 5, 13), normal(13, 10), then="Relu")
    case("MatMul", "computed", ("n", 3, 5, 4), ("n", 3, 4, 6))
    case("MatMul", "constant_left", normal(3, 7, 5), ("n", 3, 5, 4))


def elementwise() -> None:
    for op_type in ("Add", "Sub", "Mul"):
        case(op_type, "computed", IMAGE, IMAGE)
        case(op_type, "channel", IMAGE, normal(6, 1, 1))
        case(op_type, "number", IMAGE, np.float32(0.7))
        case(op_type, "gate", IMAGE, ("n", 6, 1, 1), then="Relu")
        case(op_type, "rows", ROWS, normal(13))
        case(op_type, "sequence", SEQUENCE, SEQUENCE)
    case("Sub", "from_constant", normal(6, 9, 7), IMAGE)
    case("Div", "number", IMAGE, np.float32(3.0))
    case("Div", "channel", IMAGE, np.abs(normal(6, 1, 1)) + 0.5)
    case("Div", "computed", IMAGE, IMAGE, low=0.5)
    case("Div", "zeros", IMAGE, IMAGE, low=0.0)
    case("Div", "rows", IMAGE, ("n", 6, 1, 1), low=1.0, then="Relu")
    case("Relu", "alone", IMAGE)
    case("Clip", "alone", IMAGE, np.float32(-1.0), np.float32(2.0))
    case("Clip", "low", SEQUENCE, np.float32(-0.5), None)
    case("Clip", "high", ROWS, None, np.float32(0.5))
    case("Max", "number", IMAGE, np.float32(0.25))
    case("Min", "per channel", IMAGE, np.linspace(-0.5, 1.5, 6, dtype=np.float32).reshape(6, 1, 1))
    case("Max", "per channel", IMAGE, np.linspace(-1.5, 0.5, 6, dtype=np.float32).reshape(1, 6, 1, 1))
    case("Min", "numbers", np.float32(2.0), IMAGE, np.float32(1.0))
    case("BatchNormalization", "image", IMAGE, *statistics())
    case("BatchNormalization", "clamped", IMAGE, *statistics(), epsilon=0.1, then="Relu")
    case("BatchNormalization", "sequence", SEQUENCE, *statistics())
    case("BatchNormalization", "rows", ("n", 6), *statistics())
    case("BatchNormalization", "volume", ("n", 6, 3, 2, 4), *statistics())


def statistics() -> tuple[Array, ...]:
    gain = normal(6)
    gain[2] = 0.0  # a dead channel
    return gain, normal(6), normal(6), RNG.uniform(0.01, 3.0, 6).astype(np.float32)


def functions() -> None:
    for op_type in ("Abs", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Neg"):
        case(op_type, "image", IMAGE)
    for op_type in ("Celu", "Selu", "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh"):
        case(op_type, "sequence", SEQUENCE)
    for op_type in ("Ceil", "Floor", "Round", "Shrink", "Sign", "ThresholdedRelu"):
        case(op_type, "image", IMAGE)
    for op_type in ("Log", "Reciprocal", "Sqrt"):
        case(op_type, "positive", IMAGE, low=0.25, high=9.0)
    for op_type in ("Acos", "Asin", "Atanh"):
        case(op_type, "domain", IMAGE, low=-0.8, high=0.8)
    for op_type in ("Asinh", "Atan", "Cosh", "Sinh"):
        case(op_type, "image", IMAGE)
    case("Acosh", "domain", IMAGE, low=1.1, high=9.0)
    case("Tan", "period", IMAGE, low=-1.2, high=1.2)
    case("Sqrt", "clamped", IMAGE, low=0.0, high=9.0, then="Relu")
    case("Celu", "alpha", IMAGE, alpha=0.7)
    case("Elu", "alpha", IMAGE, alpha=0.5, then="Relu")
    case("Gelu", "tanh", IMAGE, approximate="tanh")
    case("HardSigmoid", "alpha", IMAGE, alpha=1 / 6, beta=0.4)
    case("LeakyRelu", "alpha", ROWS, alpha=0.3)
    case("LeakyRelu", "rising", ROWS, alpha=1.5)
    case("Selu", "alpha", IMAGE, alpha=1.2, gamma=0.8)
    case("Shrink", "bias", IMAGE, bias=0.25, lambd=0.75)
    case("Swish", "alpha", IMAGE, alpha=1.7)
    case("Swish", "rows", ROWS)
    case("ThresholdedRelu", "alpha", IMAGE, alpha=0.4)
    case("Pow", "square", IMAGE, np.float32(2.0))
    case("Pow", "cube", IMAGE, np.array([3.0], np.float32))
    case("Pow", "root", IMAGE, np.float32(-0.5), low=0.25, high=9.0)
    case("Pow", "exponential", np.float32(2.0), IMAGE)
    case("PRelu", "number", IMAGE, np.array([0.2], np.float32))
    case("PRelu", "channel", IMAGE, normal(6, 1, 1))
    case("PRelu", "clamped", IMAGE, normal(6, 1, 1), then="Relu")
    case("PRelu", "sequence", SEQUENCE, normal(6, 1))
    case("PRelu", "rows", ROWS, normal(13))
    case("PRelu", "columns", IMAGE, normal(1, 1, 7))


def pools() -> None:
    for op_type in ("AveragePool", "MaxPool"):
        case(op_type, "2x2", IMAGE, kernel_shape=[2, 2], strides=[2, 2])
        case(op_type, "padded", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 1])
        case(op_type, "uneven", IMAGE, kernel_shape=[3, 2], pads=[1, 0, 0, 1])
        case(op_type, "ceil", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        case(op_type, "dilated", IMAGE, kernel_shape=[2, 3], dilations=[2, 2])
        case(op_type, "same", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
        case(op_type, "1d", SEQUENCE, kernel_shape=[3], strides=[2], pads=[1, 1])
        case(f"Global{op_type}", "image", IMAGE)
        case(f"Global{op_type}", "sequence", SEQUENCE)
    case("AveragePool", "counted", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    case(
        "AveragePool",
        "counted_ceil",
        IMAGE,
        kernel_shape=[3, 3],
        pads=[1] * 4,
        strides=[2, 2],
        count_include_pad=1,
        ceil_mode=1,
    )


def reductions() -> None:
    for op_type in ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare"):
        case(op_type, "spatial", IMAGE, ints(2, 3))
        case(op_type, "dropped", IMAGE, ints(2, 3), keepdims=0)
        case(op_type, "channels", IMAGE, ints(1))
        case(op_type, "one", IMAGE, ints(-2), keepdims=0)
        case(op_type, "sequence", SEQUENCE, ints(2), keepdims=0)
        case(op_type, "everything", (2, 3, 4))
        case(op_type, "nothing", IMAGE, ints(), noop_with_empty_axes=1)
    case("ReduceMean", "clamped", IMAGE, ints(2, 3), keepdims=0, then="Relu")
    for op_type in ("ArgMax", "ArgMin"):
        case(op_type, "channels", IMAGE, axis=1)
        case(op_type, "dropped", ROWS, axis=-1, keepdims=0)
        case(op_type, "last", IMAGE, axis=2, select_last_index=1)


def moves() -> None:
    case("Concat", "channels", IMAGE, ("n", 3, 9, 7), axis=1)
    case("Concat", "rows", IMAGE, ("n", 6, 2, 7), IMAGE, axis=-2)
    case("Concat", "constant", (2, 6, 4), normal(2, 6, 4), axis=1)
    case("Split", "sizes", IMAGE, ints(1, 3, 2), axis=1, outputs=3)
    case("Split", "equal", IMAGE, axis=1, outputs=2, num_outputs=2)
    case("Split", "uneven", SEQUENCE, axis=2, outputs=3, num_outputs=3)
    case("Slice", "channels", IMAGE, ints(1), ints(5), ints(1), ints(2))
    case("Slice", "backwards", IMAGE, ints(-1, 6), ints(-100, 2), ints(2, 3), ints(-1, -2))
    case("Reshape", "flat", IMAGE, ints(0, -1))
    case("Reshape", "groups", IMAGE, ints(0, 2, 3, 63))
    case("Flatten", "image", IMAGE)
    case("Transpose", "last", IMAGE, perm=[0, 2, 3, 1])
    case("Transpose", "swap", SEQUENCE, perm=[0, 2, 1])
    case("Transpose", "reversed", (2, 3, 4))
    case("Squeeze", "all", ("n", 6, 1, 1), ints(2, 3))
    case("Squeeze", "one", ("n", 6, 1, 5), ints(-2))
    case("Unsqueeze", "image", ROWS, ints(2, 3))
    case("Unsqueeze", "middle", SEQUENCE, ints(1, -1))
    case("Expand", "spatial", ("n", 6, 1, 1), ints(1, 6, 4, 3))
    case("Expand", "rank", (6, 1), ints(2, 6, 4))
    case("Pad", "zeros", IMAGE, ints(0, 0, 1, 2, 0, 1, 0, 3))
    case("Pad", "value", IMAGE, ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(-5.0))
    case("Pad", "crop", IMAGE, ints(0, 0, -1, 2, 0, 0, -2, 0))
    for mode in ("edge", "reflect", "wrap"):
        case("Pad", mode, IMAGE, ints(0, 0, 1, 2, 0, 1, 3, 0), mode=mode)
    case("Gather", "channels", IMAGE, ints(5, 0, -2, 0), axis=1)
    case("Gather", "scalar", IMAGE, np.array(2, np.int64), axis=2)
    case("Gather", "rows", normal(9, 5), Integers(("n", 4)), low=-9, high=8)
    case("Gather", "rows-of-any-shape", normal(3, 2, 5), Integers(("n", 2, 3)), low=-3, high=2)
    case("Gather", "numbers", normal(7), Integers(("n", 4)), low=0, high=6)
    case("Gather", "a-row-for-each-sample", normal(9, 5), Integers(("n",)), low=0, high=8, axis=-2)
    case("Gather", "matrix", SEQUENCE, np.array([[0, 3], [-1, 2]], np.int64), axis=2)
    case("DepthToSpace", "dcr", ("n", 8, 3, 5), blocksize=2)
    case("DepthToSpace", "crd", ("n", 18, 3, 2), blocksize=3, mode="CRD")
    case("SpaceToDepth", "2", ("n", 3, 6, 4), blocksize=2)
    case("Identity", "image", IMAGE)
    case("Dropout", "image", IMAGE)


def normalizations() -> None:
    for op_type in ("Softmax", "LogSoftmax"):
        case(op_type, "rows", ROWS)
        case(op_type, "channels", IMAGE, axis=1)
        case(op_type, "columns", IMAGE, axis=-1)
        case(op_type, "sequence", SEQUENCE, axis=1)
    case("Softmax", "coarse", ROWS, low=-3000.0, high=3000.0)  # steps beyond what TFLite's own has
    lowest = np.array(np.finfo(np.float32).min)
    some = RNG.random((6, 11)) < 0.5
    some[2] = False
    case("Where", "mask", some, SEQUENCE, lowest, then="Softmax")
    case("Where", "mask-of-columns", some[0], SEQUENCE, lowest, then="Softmax")
    case("LayerNormalization", "rows", ROWS, normal(13), normal(13))
    case("LayerNormalization", "sequence", SEQUENCE, normal(11), normal(11), epsilon=1e-3)
    case("LayerNormalization", "no_bias", SEQUENCE, normal(11), then="Relu")
    case("LayerNormalization", "image", IMAGE, normal(9, 7), normal(9, 7), axis=2)
    case("LayerNormalization", "everything", IMAGE, normal(6, 9, 7), normal(6, 9, 7), axis=1)
    case("RMSNormalization", "sequence", SEQUENCE, normal(11), epsilon=1e-3)
    case("RMSNormalization", "image", IMAGE, normal(9, 7), axis=2, then="Relu")
    case("InstanceNormalization", "image", IMAGE, normal(6), normal(6))
    case("InstanceNormalization", "sequence", SEQUENCE, normal(6), normal(6), epsilon=1e-3, then="Relu")
    case("InstanceNormalization", "volume", ("n", 6, 3, 2, 4), normal(6), normal(6))
    case("GroupNormalization", "image", IMAGE, normal(6), normal(6), num_groups=2)
    case("GroupNormalization", "sequence", SEQUENCE, normal(6), normal(6), num_groups=1)
    case("LpNormalization", "rows", ROWS, axis=-1, p=2)
    case("LpNormalization", "channels", IMAGE, axis=1, p=2)


def resizes() -> None:
    def scales(*values: float) -> tuple[None, Array]:
        return None, np.array(values, np.float32)

    modes = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
    for coordinates in modes:
        options: dict[str, Any] = {"coordinate_transformation_mode": coordinates}
        case("Resize", f"{coordinates}-double", IMAGE, *scales(1, 1, 2, 2), **options)
        case("Resize", f"{coordinates}-to-one", IMAGE, None, None, ints(1, 9), mode="linear", axes=[2, 3], **options)
        if coordinates == "align_corners":  # of a length that is no whole number, runtimes make different things
            options["axes"] = [2, 3]
            for nearest in ROUND:
                sizes = (None, None, ints(20, 4))
                case("Resize", f"{coordinates}-{nearest}", IMAGE, *sizes, nearest_mode=nearest, **options)
            case("Resize", f"{coordinates}-linear", IMAGE, None, None, ints(15, 17), mode="linear", **options)
            case("Resize", f"{coordinates}-shrink", IMAGE, None, None, ints(3, 4), mode="linear", **options)
            continue
        for nearest in ROUND:
            case("Resize", f"{coordinates}-{nearest}", IMAGE, *scales(1, 1, 2.3, 0.63), nearest_mode=nearest, **options)
        case("Resize", f"{coordinates}-linear", IMAGE, *scales(1, 1, 1.7, 2.5), mode="linear", **options)
        case("Resize", f"{coordinates}-shrink", IMAGE, *scales(1, 1, 0.4, 0.7), mode="linear", **options)
    case("Resize", "sizes", IMAGE, None, None, ints(13, 4), mode="linear", axes=[-2, -1])
    case("Resize", "sizes-nearest", IMAGE, None, None, ints(13, 4), axes=[2, 3])
    case("Resize", "columns", IMAGE, *scales(1, 1, 1, 2.5), mode="linear")
    case("Resize", "1d", SEQUENCE, *scales(1, 1, 2.5), mode="linear")
    case("Resize", "1d-nearest", SEQUENCE, *scales(1, 1, 2.5))
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "axes": [2, 3]}
    inside = np.array([0.2, 0.1, 0.9, 0.7], np.float32)
    beyond = np.array([-0.2, 0.1, 0.9, 1.3], np.float32)
    for mode in ("linear", "nearest"):
        case("Resize", f"crop-{mode}", IMAGE, inside, None, ints(8, 8), mode=mode, **crop)
        case("Resize", f"fill-{mode}", IMAGE, beyond, None, ints(8, 8), mode=mode, extrapolation_value=5.0, **crop)
        case("Resize", f"zero-{mode}", IMAGE, beyond, None, ints(8, 8), mode=mode, **crop)


def indexed() -> None:
    """Operators whose indices are computed, and the arithmetic of integers that computes them."""
    case("Gather", "computed", (2, 4, 5), Integers((3,)), axis=1, low=-4, high=3)
    case("Gather", "computed_first", (4, 5), Integers((2, 3)), low=-4, high=3)
    case("Gather", "computed_last", (2, 3, 4), Integers((2, 1)), axis=-1, low=-4, high=3)
    case("Gather", "one_computed", (2, 3, 4), Integers(()), axis=1, low=-3, high=2)
    case("Gather", "columns_of_a_table", normal(3, 9), Integers((2, 4)), axis=1, low=0, high=8)
    case("Gather", "integers", RNG.integers(-9, 9, (9, 2)), Integers(("n", 4)), low=-9, high=8)
    case("Gather", "booleans", np.arange(9) % 3 == 0, Integers(("n", 4)), low=-9, high=8)
    case("Gather", "integers_of_integers", Integers((5,)), Integers((3,)), low=-5, high=4)
    case("GatherND", "computed", (4, 2, 5), Integers((3, 2, 1)), low=-4, high=3)
    case("GatherND", "of_samples", ("n", 4, 5), Integers(("n", 1)), batch_dims=1, low=-4, high=3)
    case("GatherND", "several_of_samples", ("n", 3, 4, 5), Integers(("n", 3, 2, 1)), batch_dims=2, low=-4, high=3)
    case("GatherElements", "of_samples", ("n", 4, 5), Integers(("n", 3, 5)), axis=1, low=-4, high=3)
    case("GatherElements", "fewer", (3, 4, 5), Integers((2, 3, 6)), axis=-1, low=-5, high=4)
    case("GatherElements", "first_axis", (3, 4), Integers((5, 4)), low=-3, high=2)
    case("GatherElements", "table", normal(2, 7), Integers((2, 3)), axis=1, low=-7, high=6)
    case("GatherElements", "part_of_a_table", normal(3, 7), Integers((2, 3)), axis=1, low=-7, high=6)
    case("GatherElements", "line", normal(7, 1), Integers(("n", 1)), low=-7, high=6)
    case("GatherElements", "integers", RNG.integers(0, 9, (2, 7)), Integers((2, 3)), axis=1, low=-7, high=6)
    case("GatherElements", "booleans", Booleans(("n", 7)), Integers(("n", 3)), axis=1, low=0, high=1)
    for op_type in ("Add", "Sub", "Mul", "Min", "Max"):
        case(op_type, "integers", Integers(("n", 4, 1)), Integers(("n", 4, 5)), low=-9, high=9)
        case(op_type, "integer", ints(3), Integers(("n", 4)), low=-9, high=9)
    case("Neg", "integers", Integers(("n", 4)), low=-9, high=9)
    case("Where", "integers", Booleans(("n", 4)), Integers(("n", 4)), ints(5), low=-9, high=9)
    case("Where", "everywhere", np.ones((4, 1), bool), ("n", 1, 5), normal(5))
    case("Where", "nowhere", np.zeros((5,), bool), normal(5), ("n", 5))
    case("Where", "integers_of_a_part", np.array([True, False, True]), ints(7), Integers(("n", 1)), low=-9, high=9)
    case("Where", "integers_everywhere", np.array([True]), Integers(("n", 1)), ints(7, 8), low=-9, high=9)
    case("Clip", "integers", Integers(("n", 4)), np.array(-2), np.array(3), low=-9, high=9)
    case("Clip", "integers_from_below", Integers(("n", 4)), np.array(-2), low=-9, high=9)
    case("CumSum", "integers", Integers(("n", 4, 3)), np.array(1), low=-9, high=9)
    case("CumSum", "integers_backwards", Integers(("n", 6)), np.array(-1), exclusive=1, reverse=1, low=-9, high=9)


def rewritten() -> None:
    """Operators that `frontends.rewrites` writes with others."""
    case("CumSum", "channels", IMAGE, np.array(1))
    case("CumSum", "exclusive_backwards", SEQUENCE, np.array(-1), exclusive=1, reverse=1)
    case("Trilu", "lower", ("n", 3, 6, 6), upper=0)
    case("Trilu", "above", SEQUENCE, np.array(2))
    case("Tile", "image", ("n", 3, 4, 1), ints(1, 2, 1, 5))
    case("GatherElements", "last", (2, 3, 4, 5), RNG.integers(-5, 5, (2, 3, 4, 6)), axis=-1)
    case("GatherElements", "first", (2, 4), RNG.integers(0, 2, (3, 4)), axis=0)
    case("GatherND", "rows", (2, 4, 5), RNG.integers(0, 2, (3, 2)))
    case("GatherND", "batch", (2, 4, 5), RNG.integers(0, 4, (2, 3, 1)), batch_dims=1)
    case("Compress", "axis", IMAGE, np.array([True, False, True, True]), axis=1)
    case("Compress", "everything", (2, 3, 4), np.arange(24) % 5 == 0)
    case("ReverseSequence", "lengths", (2, 6, 3), ints(4, 6), batch_axis=0, time_axis=1)
    columns = np.array([[2, 0, 4], [1, 3, 0]])[:, None].repeat(4, 1)
    case("ScatterElements", "computed", (2, 4, 5), columns, (2, 4, 3), axis=2)
    case("ScatterElements", "zeros", (2, 4, 5), columns, np.zeros((2, 4, 3), np.float32), axis=2)
    case("ScatterElements", "constant", (2, 4, 5), columns, normal(2, 4, 3), axis=2)
    case("ScatterElements", "added", (2, 4, 5), RNG.integers(0, 5, (2, 4, 3)), (2, 4, 3), axis=2, reduction="add")
    case("ScatterND", "rows", (1, 6, 5), np.array([[0, 1], [0, 4]]), (2, 5))
    case("ScatterND", "into_zeros", np.zeros((1, 6, 5), np.float32), np.array([[0, 1], [0, 4]]), (2, 5))
    case("Einsum", "weight", SEQUENCE, normal(11, 4, scale=0.3), equation="bij,jk->bik")
    case("Einsum", "attention", ("n", 5, 2, 3), ("n", 4, 2, 3), equation="bqhd,bkhd->bhqk")
    case("Einsum", "positions", ("n", 3, 4, 5), normal(3, 6, 5), equation="bhwc,hkc->bhwk")
    case("Einsum", "outer", ("n", 5), ("n", 4), equation="bi,bj->bij")
    case("Einsum", "dot", ("n", 5), ("n", 5), equation="bi,bi->b")
    case("Einsum", "graph", ("n", 2, 3, 4, 5), normal(2, 5, 5), equation="nkctv,kvw->nctw")


def sampled() -> None:
    """Linear maps of images with constant weights, and products of windows."""
    for form, scales in (("3d", (1, 1, 2, 2, 1.5)), ("3d_shrink", (1, 1, 0.6, 0.5, 2))):
        case("Resize", form, ("n", 2, 5, 4, 6), None, np.array(scales, np.float32), mode="linear")
    scales = np.array((1, 1, 2, 1.6), np.float32)
    case("LpPool", "2x2", IMAGE, kernel_shape=[2, 2], strides=[2, 2])
    case("LpPool", "cubes", IMAGE, kernel_shape=[3, 3], pads=[1] * 4, p=3)
    case("Resize", "cubic", IMAGE, None, scales, mode="cubic")
    case("Resize", "cubic_outside", IMAGE, None, scales, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    case("Conv", "computed", (1, 6, 7, 8), (4, 6, 3, 3), pads=[1, 0, 1, 1])
    case("Conv", "computed_grouped", (2, 6, 7, 8), (6, 3, 3, 2), (6,), group=2, strides=[2, 1], dilations=[1, 2])
    case("Conv", "computed_1d", (2, 6, 9), (4, 6, 3), pads=[1, 0])
    case("Col2Im", "blocks", ("n", 12, 20), ints(6, 6), ints(2, 3))
    case("Col2Im", "padded", ("n", 18, 9), ints(6, 6), ints(3, 3), pads=[1] * 4, strides=[2, 2])
    window = np.hanning(8).astype(np.float32)
    case("STFT", "window", ("n", 32, 1), np.array(4), window, np.array(8))
    case("DFT", "onesided", ("n", 8, 1), None, np.array(1), onesided=1)
    case("DFT", "inverse", ("n", 8, 2), None, np.array(1), inverse=1)


def choices() -> None:
    """Comparisons, logic, conversions, and what is chosen by them."""
    numbers, truths = Integers(("n", 5, 4)), Booleans(("n", 5, 4))
    for op_type in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        case(op_type, "two", ROWS, ROWS)
        case(op_type, "number", ROWS, np.array(0.25, np.float32))
        case(op_type, "number-first", np.float32(0.25), ROWS)
        case(op_type, "channels", IMAGE, normal(6, 1, 1))
        case(op_type, "integers", numbers, Integers(("n", 1, 4)))
        case(op_type, "integer", numbers, np.array(1))
        case(op_type, "integers-of-columns", ints(3, -1, 0, 2), numbers)
    for op_type in ("And", "Or", "Xor"):
        case(op_type, "two", truths, Booleans(("n", 1, 4)))
        case(op_type, "constant", truths, np.arange(20).reshape(5, 4) % 3 == 0)
    case("Not", "booleans", truths)
    case("Cast", "integers", numbers, to=onnx.TensorProto.FLOAT, low=0, high=200)
    case("Cast", "booleans", truths, to=onnx.TensorProto.FLOAT)
    case("Cast", "booleans-to-integers", truths, to=onnx.TensorProto.INT64)
    case("Cast", "integers-to-booleans", numbers, to=onnx.TensorProto.BOOL)
    case("Cast", "numbers-to-booleans", ROWS, to=onnx.TensorProto.BOOL)
    case("Where", "two", Booleans(("n", 13)), ROWS, ROWS)
    case("Where", "number", Booleans(("n", 1, 11)), SEQUENCE, np.float32(0.5))
    case("Where", "numbers", truths, np.float32(-1.0), np.float32(2.0))
    case("Where", "constant-condition", np.arange(9)[:, None] % 2 == 0, IMAGE, IMAGE)
    case("Where", "constants", Booleans(("n", 1, 11)), normal(6, 1), normal(6, 11))
    lowest = np.array(np.finfo(np.float32).min)
    case("Where", "computed-mask", Booleans(("n", 1, 11)), SEQUENCE, lowest, then="Softmax")
    case("Where", "computed-mask-of-rows", Booleans(("n", 6, 1)), SEQUENCE, lowest, then="Softmax")


def corners() -> None:
    """Forms that ONNX allows and few exporters write."""
    case("ConvTranspose", "one_output_per_group", IMAGE, normal(6, 1, 3, 3, scale=0.3), normal(3), group=3)
    case("ConvTranspose", "one_output_per_group_no_bias", IMAGE, normal(6, 1, 2, 3, scale=0.3), group=2, then="Relu")
    case("MatMul", "with_vector", ("n", 5, 13), normal(13))
    case("MatMul", "vector_with", normal(5), ("n", 5, 13))
    case("MatMul", "row_with_vector", ROWS, normal(13), then="Relu")
    case("Gather", "matrix_from_behind", IMAGE, np.array([[0, -1], [2, 2]]), axis=-2)
    case("Gather", "matrix_at_the_end", IMAGE, np.array([[0, -1, 1], [2, 2, 3]]), axis=-1)
    case("Gather", "number", IMAGE, np.array(-2), axis=-3)
    case("Clip", "crossed", ROWS, np.float32(1.0), np.float32(-0.5))
    for op_type in ("AveragePool", "MaxPool"):
        case(op_type, "ceil_beyond_the_image", IMAGE, kernel_shape=[1, 2], strides=[2, 3], ceil_mode=1)


for _family in (
    convolutions, volumes, products, elementwise, functions, pools, reductions, moves, normalizations, resizes,
    corners, indexed, rewritten, sampled, choices,
):  # fmt: skip
    _family()


def inputs_of(case: Case, graph: Graph, samples: int) -> dict[str, Array]:
    rng = np.random.default_rng(len(case.name))
    data = {}
    for value in graph.inputs:
        size = shape(value)
        size = (samples, *size[1:]) if graph.batched else size
        if value.dtype == ir.DataType.FLOAT:
            data[str(value.name)] = rng.uniform(case.low, case.high, size).astype(np.float32)
        else:
            low, high = (0, 1) if value.dtype == ir.DataType.BOOL else (int(case.low), int(case.high))
            data[str(value.name)] = rng.integers(low, high + 1, size).astype(value.dtype.numpy())
    return data
