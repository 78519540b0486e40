"""Small ONNX networks written in a few lines, and a runtime to compare them in."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
import onnxruntime
from onnx.backend.test.case.test_case import TestCase

from intaglio.graph import Graph
from intaglio_tests.onnxruntime_session import session

Shape = tuple[int | str | None, ...]


class Net:
    """An ONNX graph in the making. Arrays given as inputs of an operator become initializers.

    net = Net(opset=13)
    x = net.input("x", (1, 3, 8, 8))
    net.output(net.op("Relu", x))
    """

    def __init__(self, opset: int = 20, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.count = 0

    def input(self, name: str, shape: Shape, dtype: int = onnx.TensorProto.FLOAT) -> str:
        self.inputs.append(onnx.helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        """Random weights."""
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def positive(self, *shape: int) -> np.ndarray:
        """Random numbers between 0.5 and 2."""
        return self.rng.uniform(0.5, 2.0, shape).astype(np.float32)

    def op(
        self, op_type: str, *inputs: Any, outputs: int = 1, name: str | None = None, domain: str = "", **attributes: Any
    ) -> Any:
        self.count += 1
        label = name or f"{op_type.lower()}_{self.count}"
        names = [
            value if isinstance(value, str) else self.constant(value, f"{label}.{i}") for i, value in enumerate(inputs)
        ]
        results = [label if outputs == 1 else f"{label}:{i}" for i in range(outputs)]
        self.nodes.append(
            onnx.helper.make_node(op_type, names, results, name=f"node_{label}", domain=domain, **attributes)
        )
        return results[0] if outputs == 1 else results

    def constant(self, array: Any, name: str) -> str:
        if isinstance(array, (list, tuple, int)):
            array = np.array(array, dtype=np.int64)
        elif isinstance(array, float):
            array = np.array(array, dtype=np.float32)
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def output(self, *names: str, dtype: int = onnx.TensorProto.FLOAT) -> Net:
        self.outputs += [onnx.helper.make_tensor_value_info(name, dtype, None) for name in names]
        return self

    def model(self) -> onnx.ModelProto:
        graph = onnx.helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.initializers)
        imports = [onnx.helper.make_opsetid("", self.opset)]
        imports += [onnx.helper.make_opsetid(d, 1) for d in sorted({n.domain for n in self.nodes} - {""})]
        version = onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True)
        return onnx.helper.make_model(graph, opset_imports=imports, ir_version=version)

    # Frequent layers.

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        kernel: int = 3,
        bias: bool = True,
        group: int = 1,
        rank: int = 2,
        **attributes: Any,
    ) -> str:
        weight = self.normal(cout, cin // group, *[kernel] * rank, scale=0.3)
        extra = [self.normal(cout)] if bias else []
        return self.op("Conv", x, weight, *extra, group=group, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        arrays = (self.positive(channels), self.normal(channels), self.normal(channels), self.positive(channels))
        return self.op("BatchNormalization", x, *arrays)


_TESTS: dict[str, list[TestCase]] = {}


def cases_of_node(module: str) -> list[TestCase]:
    """The tests that a module of onnx.backend.test.case.node adds to ONNX's global list when it is first imported."""
    if module not in _TESTS:
        before = len(node_cases._NodeTestCases)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(f"{node_cases.__name__}.{module}")
        _TESTS[module] = node_cases._NodeTestCases[before:]
    return _TESTS[module]


def run(model: onnx.ModelProto | Graph, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs in ONNX Runtime, with its own optimizer off."""
    proto = model.proto() if isinstance(model, Graph) else model
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(session(proto, options).run(None, dict(feeds)))


def feeds_for(
    model: onnx.ModelProto, rng: np.random.Generator, batch: int = 1, sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Normally distributed inputs for a model; open sizes are `batch` in axis 0 and taken from `sizes` elsewhere."""
    feeds = {}
    known = {value.name for value in model.graph.initializer}
    for value in model.graph.input:
        if value.name in known:
            continue
        dims = [dim.dim_value or (sizes or {}).get(dim.dim_param, batch) for dim in value.type.tensor_type.shape.dim]
        feeds[value.name] = rng.standard_normal(dims).astype(np.float32)
    return feeds


def assert_same(got: Sequence[np.ndarray], want: Sequence[np.ndarray], tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` of the largest number in each output: sums of float32 in another order."""
    assert len(got) == len(want)
    for index, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.shape == b.shape, f"output {index}: shape {a.shape}, expected {b.shape}"
        error = np.abs(a.astype(np.float64) - b.astype(np.float64))
        largest = max(float(np.abs(b).max(initial=0.0)), 1e-30)
        assert np.isfinite(b).all(), f"output {index}: the original is not finite, so nothing is tested"
        assert (error <= tolerance * largest).all(), (
            f"output {index}: differs by {error.max() / largest:.2e} of the largest"
        )


def ops(graph: Graph) -> list[str]:
    """Operator types in order."""
    return [node.op_type for node in graph.nodes]


def count(graph: Graph) -> Counter[str]:
    """How many there are of each operator type."""
    return Counter(ops(graph))


def check(net: Net, expected: Sequence[str], rng: np.random.Generator, tolerance: float = 2e-6) -> Graph:
    """Prepare a network: the operators left are as expected, in any order, and it computes what it did.

    Where the graph is `batched`, three samples at once must give what the original gives for each.
    """
    from intaglio.frontends import load_onnx, prepare

    model = net.model()
    graph = prepare(load_onnx(model))
    assert sorted(ops(graph)) == sorted(expected), f"operators left: {ops(graph)}"
    samples = [feeds_for(model, rng) for _ in range(3)]
    wanted = [run(model, feeds) for feeds in samples]
    assert_same(run(graph, samples[0]), wanted[0], tolerance)
    if graph.batched:
        together = {name: np.concatenate([feeds[name] for feeds in samples]) for name in samples[0]}
        assert_same(run(graph, together), [np.concatenate(rows) for rows in zip(*wanted, strict=True)], tolerance)
    again = prepare(graph)
    assert again.history == graph.history, "a prepared graph must have nothing left to do"
    return graph
