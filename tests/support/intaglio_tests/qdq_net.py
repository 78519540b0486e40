"""Small networks, calibrated on random numbers, and ONNX Runtime to compare with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from intaglio.calibrate import calibrate
from intaglio.data import open_data
from intaglio.frontends import load
from intaglio.graph import Graph
from intaglio.plan import Plan, place
from intaglio.targets import Target, load_target
from intaglio_tests.onnxruntime_session import session

onnxruntime.set_default_logger_severity(4)
Made = tuple[Graph, Plan, NDArray[np.float32]]


class Net:
    """An ONNX network in the making; arrays given as inputs become initializers."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def normal(self, *shape: int) -> NDArray[np.float32]:
        """Weights that keep the size of what they multiply."""
        return (self.rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)

    def op(self, op_type: str, *inputs: Any, out: str | None = None, **attributes: Any) -> str:
        """A node; returns its output's name."""
        out = out or f"{op_type.lower()}{len(self.nodes)}"
        names = []
        for index, value in enumerate(inputs):
            if not isinstance(value, str):
                self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), f"{out}.{index}"))
                value = f"{out}.{index}"
            names.append(value)
        self.nodes.append(onnx.helper.make_node(op_type, names, [out], name=f"n_{out}", **attributes))
        return out

    def pair(self, x: str, scale: float, zero_point: np.generic, out: str | None = None) -> str:
        """A QuantizeLinear and a DequantizeLinear; the type is that of the zero point."""
        codes = self.op("QuantizeLinear", x, np.float32(scale), zero_point)
        return self.op("DequantizeLinear", codes, np.float32(scale), zero_point, out=out)

    def codes(self, array: NDArray[Any], scale: Any, axis: int | None = None, out: str | None = None) -> str:
        """A constant of integers behind a DequantizeLinear, zero point 0."""
        scale = np.asarray(scale, np.float32)
        attributes = {} if axis is None else {"axis": axis}
        return self.op("DequantizeLinear", array, scale, np.zeros(scale.shape, array.dtype), out=out, **attributes)

    def model(self, shape: tuple[int | str, ...], *outputs: str) -> onnx.ModelProto:
        """The model; its input is x."""
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
        start = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        graph = onnx.helper.make_graph(self.nodes, "net", [start], ends, self.constants)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])
        model.ir_version = 10
        return model


def small_net(opset: int = 17) -> onnx.ModelProto:
    """Convolutions with fused activations, a residual sum, pools, a concatenation, a flattened dense layer."""
    net = Net(opset)
    x = net.op("Conv", "x", net.normal(8, 3, 3, 3), net.normal(8), out="stem", pads=[1, 1, 1, 1])
    x = net.op("Relu", x, out="stem_relu")
    y = net.op("Conv", x, net.normal(8, 1, 3, 3), net.normal(8), out="depthwise", group=8, pads=[1, 1, 1, 1])
    y = net.op("Clip", y, np.float32(0), np.float32(6), out="depthwise_relu6")
    y = net.op("Conv", y, net.normal(8, 8, 1, 1), out="pointwise")
    x = net.op("Relu", net.op("Add", y, x, out="sum"), out="sum_relu")
    x = net.op("MaxPool", x, out="pool", kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Concat", x, net.op("Sigmoid", x, out="gate"), out="joined", axis=1)
    x = net.op("GlobalAveragePool", x, out="mean")
    x = net.op("Flatten", x, out="flat")
    x = net.op("Gemm", x, net.normal(5, 16), net.normal(5), out="logits", transB=1)
    return net.model(("N", 3, 8, 8), x)


def calibrated(model: onnx.ModelProto, target: str | Target, samples: int = 64) -> Made:
    """A network placed and calibrated on random numbers, and these numbers."""
    graph = load(model)
    shape = [int(s) for s in graph.inputs[0].shape.numpy()]
    x = np.random.default_rng(1).standard_normal([samples, *shape[graph.batched :]]).astype(np.float32)
    plan = place(graph, load_target(target))
    return graph, calibrate(graph, plan, open_data(x), calibrator="max").plan, x


_DTYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8}


def run_ort(
    path: Path, x: NDArray[np.float32], level: str = "ORT_ENABLE_ALL", *, exact: bool = True
) -> NDArray[np.float32]:
    """The first output of a file in ONNX Runtime."""
    return run_all(path, [x], level, exact=exact)[0]


def run_all(path: Path, data: Any, level: str = "ORT_ENABLE_ALL", *, exact: bool = True) -> list[NDArray[Any]]:
    """Every output of a file in ONNX Runtime.

    Args:
        path: of the file.
        data: one array per input, in order or by name.
        level: of graph optimization.
        exact: products of unsigned by signed bytes; on x86 processors without VNNI they otherwise saturate at 16 bits.
            No option for files with QGemm of signed bytes, which are then refused.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.add_session_config_entry("session.x64quantprecision", str(int(exact)))
    runtime = session(path, options)
    inputs = runtime.get_inputs()
    given = data if isinstance(data, dict) else dict(zip([i.name for i in inputs], data, strict=True))
    given = {i.name: given[i.name].astype(_DTYPES.get(i.type, given[i.name].dtype)) for i in inputs}
    return [np.asarray(y) for y in runtime.run(None, given)]


def optimized_operators(path: Path, folder: Path) -> Counter[str]:
    """What ONNX Runtime's optimizer makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    session(path, options)
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
