"""A small network, its Plan with parameters, and facts about it."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import intaglio as ig
from intaglio.measure import Gate, LayerDifference, Score
from intaglio.report import Facts

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[31m"


def conv_net(name: str = "conv.weight", graph_name: str = "small") -> onnx.ModelProto:
    """conv - relu - global pool - flatten - gemm, with a name of the caller's in it."""
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=(4, 3, 3, 3)),
        "conv.bias": rng.normal(size=4),
        "head.weight": rng.normal(size=(5, 4)),
        "head.bias": rng.normal(size=5),
    }
    nodes = [
        helper.make_node("Conv", ["x", name, "conv.bias"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["y"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        graph_name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(32, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def quantized(images: np.ndarray) -> ig.Quantized:
    return ig.quantize(ig.load(conv_net()), images, calibrator="max")


@pytest.fixture(scope="session")
def hostile(images: np.ndarray) -> ig.Quantized:
    """The same network, with markup in the names."""
    return ig.quantize(ig.load(conv_net(HOSTILE, HOSTILE)), images, calibrator="max")


@pytest.fixture
def full_facts() -> Facts:
    """Everything that can be known, with the ratios that are hard to draw."""
    return Facts(
        scores={
            "float": Score("top1", 88.29, 10_000, "float"),
            "simulated": Score("top1", 88.21, 10_000, "simulate"),
            "integer": Score("top1", 88.19, 10_000, "reference"),
        },
        agreement={"simulated and integer": 99.91, "float and integer": 99.2},
        layers=[
            LayerDifference("x", 52.3, 0.01, 0.5, 12.0),
            LayerDifference("r", 4.2, 0.1, 3.0, 70.0),
            LayerDifference("p", math.inf, 0.0, 0.0, 100.0),
            LayerDifference("f", -math.inf, 0.3, None, 0.0),
            LayerDifference("y", 38.5, 0.2, 1.5, 40.0),
        ],
        gates=[Gate("finite", True, "every output is finite"), Gate("layer SQNR", False, "worst layer r: 4.2 dB")],
        nbytes={"float": 4096, "integer": 1100},
        seconds={"load": 0.03, "calibrate": 75.0},
        peak_memory_bytes=512 * 2**20,
        history=["batch norm folded", "calibrated with max"],
        target="cpu-int8: for tests",
    )
