"""A small network, its Plan with parameters, and facts about it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests import browser
from onnx import TensorProto, helper, numpy_helper

import intaglio as ig
from intaglio.evaluation import Gate, LayerDifference, Score
from intaglio.plan import Step
from intaglio.report import Facts, known_facts
from intaglio.report.confusion import thumbnail
from intaglio.report.facts import Confusion, DifferingSample, Latency
from intaglio.train.loop import Point

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
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser for all tests (see `intaglio_tests.browser`)."""
    if browser.BROWSER is None:
        pytest.skip("needs a browser: Chromium is not installed")
    driver = browser.Chromium(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.close()


@pytest.fixture(scope="session")
def small_model() -> onnx.ModelProto:
    return conv_net()


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(32, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="session")
def quantized(images: np.ndarray) -> ig.Quantized:
    return ig.quantize(ig.load(conv_net()), images)


@pytest.fixture(scope="session")
def hostile(images: np.ndarray) -> ig.Quantized:
    """The same network, with markup in the names."""
    return ig.quantize(ig.load(conv_net(HOSTILE, HOSTILE)), images)


LAYERS = [
    LayerDifference("x", 52.3, 0.01, 0.5, 12.0),
    LayerDifference("r", 4.2, 0.1, 3.0, 70.0),
    LayerDifference("p", math.inf, 0.0, 0.0, 100.0),
    LayerDifference("f", -math.inf, 0.3, None, 0.0),
    LayerDifference("y", 38.5, 0.2, 1.5, 40.0),
]


def steps(text: str = "biases") -> list[Step]:
    """A step of every kind."""
    return [
        Step("graph", f"{text} folded"),
        Step("constant channels", f"2 constant channels: {text}"),
        Step("equalization", f"3 chains equalized: {text}", "SQNR", 3.0, 21.5, 12, True),
        Step("calibration", "calibrated with max", "SQNR", None, 20.0, 12),
        Step("bias correction", f"{text} corrected", "SQNR", 20.0, 19.5, 12, False),
        Step("partial quantization", f"{text} in 16 bits", "top1", 80.0, 82.5, 100, True),
    ]


@pytest.fixture
def full_facts(quantized: ig.Quantized) -> Facts:
    """Everything that can be known, with the ratios that are hard to draw."""
    return made_up(quantized)


@pytest.fixture
def hostile_facts(hostile: ig.Quantized) -> Facts:
    """The same with markup in every name and text."""
    return made_up(hostile, HOSTILE)


def made_up(q: ig.Quantized, name: str = "ship") -> Facts:
    """Facts about a network, of which accuracy, steps and predictions are made up."""
    picture = np.random.default_rng(2).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    known = known_facts(
        q.graph, q.plan, steps=steps(name), prepared=ig.load(conv_net()), statistics=q.statistics, program=q.lower(),
        layers=LAYERS,
    )  # fmt: skip
    return dataclasses.replace(
        known,
        scores={
            "float": Score("top1", 88.29, 10_000, "float", "%"),
            "simulated": Score("top1", 88.21, 10_000, "simulate", "%"),
            "integer": Score("top1", 88.19, 10_000, "reference", "%"),
        },
        agreement={"simulated and integer": 99.91, "float and integer": 99.2},
        sensitivities={"conv": 31.5, "head": 42.25, "pool": math.inf, name: 50.0},
        gates=[Gate("finite", True, "every output is finite"), Gate("layer SQNR", False, "worst layer r: 4.2 dB")],
        nbytes={"float": 4096, "integer": 1100},
        seconds={"load": 0.03, "calibrate": 75.0},
        peak_memory_bytes=512 * 2**20,
        confusion=Confusion(
            samples=40,
            cells={(0, 0): 20, (1, 1): 15, (0, 1): 4, (2, 0): 1},
            outcomes={"both right": 33, "only float right": 4, "only integer right": 1, "both wrong": 2},
            names=("plane", name, "bird"),
            differing=[DifferingSample(7, 1, 0, 1, *thumbnail(picture)), DifferingSample(9, 0, 2, 0)],
        ),
        latency=Latency(12_345.0, 100, "avx2", "a processor", 2),
        target="cpu-int8: for tests",
        training=[Point(7, 0.5, 1.4, 0.01), Point(14, 1.0, 1.1, 0.005, 81.5), Point(28, 2.0, math.nan, 1e-4, 83.0)],
    )
