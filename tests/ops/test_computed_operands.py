"""A value that is computed where an operator expects a constant is computed right, or refused by operator and node.

One row per operator with several inputs; the test goes over every one of them, in the float engine and in integers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from intaglio_tests.onnxruntime_session import session

from intaglio.errors import IntaglioError, UnsupportedOperatorError
from intaglio.frontends.onnx import load_onnx
from intaglio.graph import NORMAL_OPSET
from intaglio.graph.passes import prepare
from intaglio.ops import FLOAT_OPERATORS, Role, contract_of, float_operator
from intaglio.plan import place
from intaglio.simulate import Simulator
from intaglio.targets import load_target

Model = Callable[..., onnx.ModelProto]
OPSET = 22  # of ONNX Runtime, which says what is right
IMAGE = (1, 4, 6, 6)


def _normal(*size: int) -> Any:
    return np.random.default_rng(sum(size)).standard_normal(size).astype(np.float32)


def _ints(*values: int) -> Any:
    return np.array(values, np.int64)


def _number(value: float) -> Any:
    return np.array(value, np.float32)


# Constant operands behind the first input (a tuple is its shape, where it is no image), and attributes.
ROWS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    **{op: ([_normal(4, 1, 1)], {}) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    **{
        op: ([_ints(2, 3)], {})
        for op in ("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare")
    },
    **{op: ([_normal(4, 1, 1)], {}) for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    "BatchNormalization": ([_normal(4), _normal(4), _normal(4), np.abs(_normal(4)) + 1], {}),
    "Clip": ([_number(-0.5), _number(0.7)], {}),
    "CumSum": ([_ints(1)], {}),
    "Concat": ([_normal(1, 2, 6, 6)], {"axis": 1}),
    "Conv": ([_normal(4, 4, 3, 3), _normal(4)], {}),
    "ConvTranspose": ([_normal(4, 4, 3, 3), _normal(4)], {}),
    "Dropout": ([_number(0.5)], {}),
    "Expand": ([_ints(2, 1, 1, 1, 1)], {}),
    "Gather": ([_ints(0, 2)], {"axis": 1}),
    "GatherElements": ([(6,), _ints(2, 3)], {}),
    "Gemm": ([(1, 6), _normal(6, 5), _normal(5)], {}),
    "GroupNormalization": ([_normal(4), _normal(4)], {"num_groups": 2}),
    "InstanceNormalization": ([_normal(4), _normal(4)], {}),
    "LayerNormalization": ([_normal(6), _normal(6)], {}),
    "MatMul": ([_normal(6, 5)], {}),
    "PRelu": ([_normal(4, 1, 1)], {}),
    "Pad": ([_ints(0, 1), _number(0.5), _ints(2)], {}),
    "Pow": ([_number(2.0)], {}),
    "RMSNormalization": ([_normal(6)], {}),
    "Reshape": ([_ints(1, -1)], {}),
    "Resize": ([None, np.array([1, 1, 2, 2], np.float32)], {}),
    "Slice": ([_ints(1), _ints(3), _ints(1), _ints(1)], {}),
    "Split": ([_ints(1, 3)], {"axis": 1}),
    "Squeeze": ([(1, 4, 1), _ints(2)], {}),
    "Unsqueeze": ([_ints(2)], {}),
}
POSITIONS = [
    (op_type, index)
    for op_type, (operands, _) in ROWS.items()
    for index, operand in enumerate((o for o in operands if not isinstance(o, tuple)), 1)
    if operand is not None
]
IGNORED = {("Dropout", 1)}  # at inference


def network(model: Model, op_type: str, index: int) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The row with one operand computed: floats are negated inputs, whole numbers come of an ArgMax."""
    rest, attributes = ROWS[op_type]
    size = next((operand for operand in rest if isinstance(operand, tuple)), IMAGE)
    operands = [operand for operand in rest if not isinstance(operand, tuple)]
    feeds, constants, nodes = {"x": _normal(*size)}, {}, []
    names = ["x", *(f"c{i}" if operand is not None else "" for i, operand in enumerate(operands, 1))]
    for i, operand in enumerate(operands, 1):
        if operand is None:
            continue
        if i != index:
            constants[f"c{i}"] = operand
        elif operand.dtype == np.float32:
            feeds["z"] = np.negative(operand, out=np.empty_like(operand))
            nodes.append(onnx.helper.make_node("Neg", ["z"], [f"c{i}"], "maker"))
        else:
            feeds["z"] = np.eye(8, dtype=np.float32)[operand.reshape(-1) % 8]
            nodes.append(onnx.helper.make_node("ArgMax", ["z"], [f"c{i}"], "maker", axis=1, keepdims=0))
    outputs = ["y", "second"] if op_type == "Split" else ["y"]
    nodes.append(onnx.helper.make_node(op_type, names, outputs, "it", **attributes))
    sizes = {name: np.shape(value) for name, value in feeds.items()}
    return model(nodes, sizes, constants, outputs, opset=OPSET), feeds


def test_every_operator_with_several_inputs_has_a_row() -> None:
    several = {op for op in FLOAT_OPERATORS if onnx.defs.get_schema(op, NORMAL_OPSET).max_input > 1}
    # Conditions and booleans are no numbers; they and recurrent layers have tests of their own.
    assert several - {"And", "GRU", "LSTM", "Or", "RNN", "Where", "Xor"} == set(ROWS)


@pytest.mark.parametrize(("op_type", "index"), POSITIONS)
def test_the_float_engine_is_right_or_refuses(op_type: str, index: int, model: Model) -> None:
    proto, feeds = network(model, op_type, index)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        graph = load_onnx(proto)
        simulators = [Simulator(g, device="cpu") for g in (graph, prepare(graph))]
    except IntaglioError as error:
        assert f"[{op_type} 'it" in str(error)
        return
    want = session(proto, options).run(None, feeds)
    for simulator in simulators:
        got = simulator.run(*feeds.values())
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("op_type", "index"), POSITIONS)
def test_integers_are_right_or_refused_before_calibration(op_type: str, index: int, model: Model, lowered: Any) -> None:
    proto, feeds = network(model, op_type, index)
    try:
        graph = prepare(load_onnx(proto))
        place(graph, load_target("cpu-int8"))
    except IntaglioError as error:
        assert f"{op_type} 'it" in str(error)
        return
    if (op_type, index) in IGNORED:
        return
    roles = [contract_of(node).roles for node in graph.nodes if str(node.name).startswith("it")]
    assert any(found.count(Role.ACTIVATION) > 1 for found in roles)
    lowered(graph, "cpu-int8", feeds).check()


@pytest.mark.parametrize(("op_type", "index"), POSITIONS)
def test_the_contract_holds_what_is_computed_to_its_roles(op_type: str, index: int, model: Model) -> None:
    """On the graph as it came, before a pass writes it otherwise."""
    try:
        graph = load_onnx(network(model, op_type, index)[0])
    except IntaglioError:
        return
    node = next((node for node in graph.nodes if node.name == "it"), None)
    if node is None:
        return
    try:
        contract = contract_of(node)
    except UnsupportedOperatorError as error:
        assert f"[{op_type} 'it']" in str(error)
        return
    assert contract.roles[index] is (Role.OFFLINE if (op_type, index) in IGNORED else Role.ACTIVATION)
    assert float_operator(node)
