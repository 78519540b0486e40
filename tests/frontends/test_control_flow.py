"""If, Loop and Scan become the nodes that they run, with ONNX Runtime's results; what depends on data is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

import intaglio as ig
from intaglio.errors import IntaglioError, ModelError
from intaglio.frontends.onnx import load_onnx
from intaglio.simulate import Simulator

SIZE, STEPS = 4, 3
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
node, info = helper.make_node, helper.make_tensor_value_info


def weights(seed: int, *sizes: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=sizes).astype(np.float32)


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[Any, ...]],
    outputs: list[str],
    constants: dict[str, Any],
    opset: int,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [info(name, FLOAT, sizes) for name, sizes in inputs.items()],
        [info(name, FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    proto.ir_version = max(4, helper.find_min_ir_version_for(proto.opset_import))  # constants are no inputs
    return proto


def unsqueeze(opset: int, source: str, result: str, axis: str) -> onnx.NodeProto:
    """`axis` is a constant of value 1."""
    return (
        node("Unsqueeze", [source, axis], [result]) if opset >= 13 else node("Unsqueeze", [source], [result], axes=[1])
    )


def assert_same_as_onnx_runtime(proto: onnx.ModelProto, **inputs: np.ndarray[Any, Any]) -> ig.Graph:
    graph = ig.load(proto)
    want = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)
    got = Simulator(graph, device="cpu")({name: torch.from_numpy(array) for name, array in inputs.items()})
    for found, expected in zip(got.values(), want, strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    return graph


def cell(opset: int, data: str, state: str) -> list[onnx.NodeProto]:
    """tanh(data W + state R + b), its state beside, and a second result of it."""
    return [
        node("MatMul", [data, "w"], ["from_data"]),
        node("MatMul", [state, "r"], ["from_state"]),
        node("Add", ["from_data", "from_state"], ["both"]),
        node("Add", ["both", "b"], ["gate"]),
        node("Tanh", ["gate"], ["new"]),
        node("Sigmoid", ["new"], ["shown"]),
    ]


CONSTANTS = {"w": weights(1, SIZE, SIZE), "r": weights(2, SIZE, SIZE), "b": weights(3, SIZE)}


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 16, 19, 21, 24])
@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("axis", [0, 1])
def test_scan(opset: int, backward: int, axis: int) -> None:
    body = helper.make_graph(
        cell(opset, "part", "state"),
        "body",
        [info("state", FLOAT, [None, SIZE]), info("part", FLOAT, [None, SIZE])],
        [info("new", FLOAT, None), info("shown", FLOAT, None)],
    )
    scan = node(
        "Scan", ["start", "x"], ["last", "all"], name="scan", body=body, num_scan_inputs=1, scan_input_axes=[axis],
        scan_input_directions=[backward], scan_output_axes=[axis], scan_output_directions=[1 - backward],
    )  # fmt: skip
    sizes = (2, STEPS, SIZE) if axis else (STEPS, 2, SIZE)
    proto = model([scan], {"start": (2, SIZE), "x": sizes}, ["last", "all"], CONSTANTS, opset)
    graph = assert_same_as_onnx_runtime(proto, start=weights(4, 2, SIZE), x=weights(5, *sizes))
    assert sum(found.op_type == "Tanh" for found in graph.nodes) == STEPS
    assert graph.batched == bool(axis)


@pytest.mark.parametrize("backward", [0, 1])
@pytest.mark.parametrize("samples", [1, 2])
def test_scan_of_opset_8(backward: int, samples: int) -> None:
    body = helper.make_graph(
        cell(8, "part", "state"),
        "body",
        [info("state", FLOAT, [SIZE]), info("part", FLOAT, [SIZE])],
        [info("new", FLOAT, [SIZE]), info("shown", FLOAT, [SIZE])],
    )
    scan = node("Scan", ["", "start", "x"], ["last", "all"], body=body, num_scan_inputs=1, directions=[backward])
    inputs = {"start": (samples, SIZE), "x": (samples, STEPS, SIZE)}
    proto = model([scan], inputs, ["last", "all"], CONSTANTS, 8)
    for info_ in proto.graph.output:
        info_.CopyFrom(info(info_.name, FLOAT, [samples, SIZE] if info_.name == "last" else [samples, STEPS, SIZE]))
    assert_same_as_onnx_runtime(proto, start=weights(4, samples, SIZE), x=weights(5, samples, STEPS, SIZE))


def loop(
    opset: int, ends: list[onnx.NodeProto], *, trips: str = "trips", first: str = "", outputs: int = 2
) -> list[onnx.NodeProto]:
    """A recurrent layer as a Loop; `ends` compute its condition 'again' from 'step', 'going' and 'new'."""
    body = helper.make_graph(
        [
            node("Gather", ["x", "step"], ["part"], axis=1),
            *cell(opset, "part", "state"),
            *ends,
        ],
        "body",
        [info("step", INT, []), info("going", BOOL, []), info("state", FLOAT, None)],
        [info("again", BOOL, None), info("new", FLOAT, None), info("shown", FLOAT, None)],
    )
    return [
        node("Loop", [trips, first, "start"], ["last", "all"][:outputs], name="loop", body=body),
        node("Relu", ["last"], ["y"]),
    ]


GOES_ON = {
    "the condition before": [node("Identity", ["going"], ["again"])],
    "a constant": [
        node("Constant", [], ["again"], value=onnx.numpy_helper.from_array(np.array(True))),
    ],
    "a counter": [node("Less", ["step", "last_step"], ["again"])],
    "a size": [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "one"], ["length"], axis=0),
        node("Add", ["step", "two"], ["next"]),
        node("Less", ["next", "length"], ["again"]),
    ],
}


@pytest.mark.parametrize("opset", [8, 10, 12, 13, 16, 20, 24])
@pytest.mark.parametrize("form", GOES_ON)
def test_loop(form: str, opset: int) -> None:
    if form in ("a counter", "a size") and opset < 9:
        pytest.skip("Less of integers came with opset 9")
    limited = form in ("the condition before", "a constant")
    constants = {
        **CONSTANTS,
        "start": np.zeros((1, SIZE), np.float32),
        "trips": np.array(STEPS if limited else 2**62),
        "yes": np.array(True),
        "one": np.array(1),
        "two": np.array(2),
        "last_step": np.array(STEPS - 1),
    }
    nodes = loop(opset, GOES_ON[form], first="yes")
    read = {name for made in nodes for name in made.input}
    read |= {name for made in nodes[0].attribute[0].g.node for name in made.input}
    constants = {name: array for name, array in constants.items() if name in read}
    proto = model(nodes, {"x": (1, 6, SIZE)}, ["y", "all"], constants, opset)
    graph = assert_same_as_onnx_runtime(proto, x=weights(6, 1, 6, SIZE))
    steps = {"a counter": STEPS, "a size": 5}.get(form, STEPS)
    assert sum(found.op_type == "Tanh" for found in graph.nodes) == steps


def test_nothing_written_twice_hangs_on_a_loop_that_is_gone() -> None:
    """Weights that steps share are one array."""
    proto = model(
        loop(20, GOES_ON["the condition before"], first="yes"),
        {"x": (1, 6, SIZE), "start": (1, SIZE)},
        ["y"],
        {**CONSTANTS, "trips": np.array(STEPS), "yes": np.array(True)},
        20,
    )
    graph = load_onnx(proto)
    held = [value for value in graph.initializers if str(value.name).partition("__")[0] == "r"]
    assert len(held) == STEPS
    assert all(np.shares_memory(value.const_value.numpy(), held[0].const_value.numpy()) for value in held)
    assert all(value.uses() for value in graph.initializers)


DEPENDS = {
    "trip count": (
        [
            node("ReduceMax", ["x"], ["peak"], keepdims=0),
            node("Cast", ["peak"], ["trips"], to=INT),
            *loop(17, GOES_ON["the condition before"], first="yes"),
        ],
        r"\[Loop 'loop'\] expected a network without control flow, got a Loop whose trip count depends on data; export",
    ),
    "condition": (
        loop(
            17,
            [
                node("ReduceMax", ["new"], ["peak"], keepdims=0),
                node("Less", ["peak", "half"], ["again"]),
            ],
            first="yes",
        ),
        r"\[Loop 'loop'\] .* got a Loop whose condition depends on data",
    ),
    "size": (
        loop(17, GOES_ON["the condition before"], trips="many", first="yes"),
        r"\[Loop 'loop'\] expected at most 10,000 operators where steps are written out, got 2,000 steps of 8 "
        "here; use an LSTM, GRU or RNN layer, which stays a loop",
    ),
    "endless": (
        loop(17, GOES_ON["a counter"], trips="", first="yes"),
        r"\[Loop 'loop'\] expected at most 10,000 operators .* got 1,251 steps of 8 here",
    ),
}


@pytest.mark.parametrize("name", DEPENDS)
def test_what_depends_on_data_or_is_too_large_is_refused_by_name(name: str) -> None:
    nodes, text = DEPENDS[name]
    constants = {
        **CONSTANTS,
        "start": np.zeros((1, SIZE), np.float32),
        "yes": np.array(True),
        "half": np.float32(0.5),
        "many": np.array(2000),
        "trips": np.array(STEPS),
        "last_step": np.array(10**9),
    }
    if name == "trip count":
        del constants["trips"]
    with pytest.raises(ModelError, match=text):
        load_onnx(model(nodes, {"x": (1, 6000, SIZE)}, ["y"], constants, 17))


def test_a_loop_without_steps_has_its_first_states_and_no_stacked_results() -> None:
    constants = {**CONSTANTS, "trips": np.array(0), "yes": np.array(True)}
    inputs = {"x": (2, 6, SIZE), "start": (2, SIZE)}
    nodes = loop(17, GOES_ON["the condition before"], first="yes")
    graph = load_onnx(model(nodes, inputs, ["y"], constants, 17))
    assert [found.op_type for found in graph.nodes] == ["Relu"]
    with pytest.raises(ModelError, match=r"\[Loop 'loop'\] expected at least one step, got none"):
        load_onnx(model(nodes, inputs, ["y", "all"], constants, 17))


def test_control_flow_inside_control_flow_and_functions() -> None:
    """A Loop in a function, whose step is a Scan, whose step is an If on the number of the Loop's step."""
    branches = [
        helper.make_graph([node(kind, ["part"], [f"{kind}_y"])], kind, [], [info(f"{kind}_y", FLOAT, None)])
        for kind in ("Relu", "Exp")
    ]
    within = helper.make_graph(
        [
            node("If", ["odd"], ["chosen"], then_branch=branches[0], else_branch=branches[1]),
            node("Add", ["chosen", "sum"], ["next_sum"]),
            node("Mul", ["next_sum", "scale"], ["seen"]),
        ],
        "within",
        [info("sum", FLOAT, None), info("part", FLOAT, None)],
        [info("next_sum", FLOAT, [2, SIZE]), info("seen", FLOAT, [2, SIZE])],
    )
    outer = helper.make_graph(
        [
            node("Constant", [], ["scale"], value=onnx.numpy_helper.from_array(np.float32(0.5))),
            node("Constant", [], ["two"], value=onnx.numpy_helper.from_array(np.array(2))),
            node("Constant", [], ["zero"], value=onnx.numpy_helper.from_array(np.array(0))),
            node("Mod", ["step", "two"], ["rest"]),
            node("Greater", ["rest", "zero"], ["odd"]),
            node(
                "Scan", ["before", "z"], ["after", "parts"], body=within, num_scan_inputs=1, scan_input_axes=[1],
                scan_output_axes=[-1],
            ),
            node("Identity", ["going"], ["again"]),
        ],
        "outer",
        [info("step", INT, []), info("going", BOOL, []), info("before", FLOAT, None)],
        [info("again", BOOL, None), info("after", FLOAT, None), info("parts", FLOAT, None)],
    )  # fmt: skip
    function = helper.make_function(
        "own", "Steps", ["z", "first"], ["end", "parts"],
        [
            node("Constant", [], ["trips"], value=onnx.numpy_helper.from_array(np.array(3))),
            node("Loop", ["trips", "", "first"], ["end", "parts"], body=outer),
        ],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    proto = model(
        [node("Steps", ["x", "start"], ["y", "all"], domain="own")],
        {"x": (2, STEPS, SIZE), "start": (2, SIZE)}, ["y", "all"], {}, 17,
    )  # fmt: skip
    proto.functions.append(function)
    proto.opset_import.append(helper.make_opsetid("own", 1))
    graph = assert_same_as_onnx_runtime(proto, x=weights(7, 2, STEPS, SIZE), start=weights(8, 2, SIZE))
    kinds = [found.op_type for found in graph.nodes]
    assert (kinds.count("Exp"), kinds.count("Relu")) == (2 * STEPS, STEPS)


def test_an_outer_value_is_a_result() -> None:
    """A branch that returns a value of the graph; outputs of a body that are its inputs, or values around it."""
    branch = [
        helper.make_graph([node("Identity", [name], [f"{name}_y"])], name, [], [info(f"{name}_y", FLOAT, None)])
        for name in ("x", "w")
    ]
    body = helper.make_graph(
        [node("Identity", ["chosen"], ["seen"])],
        "body",
        [info("step", INT, []), info("going", BOOL, []), info("state", FLOAT, None)],
        [info("going", BOOL, None), info("state", FLOAT, None), info("seen", FLOAT, None)],
    )
    nodes = [
        node("If", ["yes"], ["chosen"], then_branch=branch[0], else_branch=branch[1]),
        node("Loop", ["trips", "", "x"], ["kept", "all"], body=body),
        node("Exp", ["kept"], ["y"]),
    ]
    constants = {"w": weights(1, 1, SIZE), "yes": np.array(True), "trips": np.array(2)}
    graph = assert_same_as_onnx_runtime(
        model(nodes, {"x": (1, SIZE)}, ["y", "all"], constants, 17), x=weights(9, 1, SIZE)
    )
    assert sorted(found.op_type for found in graph.nodes) == ["Concat", "Exp", "Reshape", "Reshape"]


class Unrolled(nn.Module):
    """A loop over time that appends to a list, as `torch.jit.script` keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h, self.head = nn.Linear(SIZE, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 5)
        outs = []
        for t in range(x.shape[1]):
            h = torch.tanh(self.i(x[:, t]) + self.h(h))
            outs.append(h)
        return self.head(torch.stack(outs, 1))


class While(nn.Module):
    """A while loop with a branch in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        i = 0
        while i < x.shape[1]:
            if i % 2 == 0:
                x = torch.relu(self.layer(x))
            else:
                x = x + 1.0
            i += 1
        return x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [Unrolled, While])
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_scripted_modules(make: Callable[[], nn.Module], opset: int) -> None:
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.onnx.export(
        torch.jit.script(make().eval()), (torch.randn(2, STEPS, SIZE),), file, dynamo=False, opset_version=opset,
        input_names=["x"], dynamic_axes={"x": {0: "n"}},
    )  # fmt: skip
    graph = assert_same_as_onnx_runtime(onnx.load_from_string(file.getvalue()), x=weights(6, 3, STEPS, SIZE))
    assert graph.batched
    data = weights(7, 64, STEPS, SIZE)
    program = ig.quantize(graph, data, target="cpu-int8").lower()
    want = np.asarray(Simulator(graph, device="cpu").run(data)[0])
    got = program.run(data)
    assert 10 * np.log10(np.square(want).sum() / np.square(got - want).sum()) > 20


def test_a_loop_that_torch_export_keeps() -> None:
    """`torch.ops.higher_order.scan` becomes an ONNX Scan."""
    from torch._higher_order_ops.scan import scan

    class Sums(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            _, found = scan(lambda state, part: (state + part, torch.relu(state + part)), x[:, 0] * 0, x, dim=1)
            return found

    x = torch.randn(1, STEPS, SIZE)
    graph = ig.load(Sums().eval(), x)
    got = Simulator(graph, device="cpu").run(x.numpy())[0]
    np.testing.assert_allclose(np.asarray(got), Sums()(x).numpy(), atol=1e-6)


SEQUENCES: dict[str, list[onnx.NodeProto]] = {
    "construct, insert, erase": [
        node("SequenceConstruct", ["x", "w"], ["s0"]),
        node("SequenceInsert", ["s0", "x"], ["s1"]),
        node("SequenceInsert", ["s1", "r", "minus_one"], ["s2"]),
        node("SequenceErase", ["s2", "one"], ["s3"]),
        node("ConcatFromSequence", ["s3"], ["y"], axis=-1, new_axis=1),
    ],
    "split to elements": [
        node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0),
        node("SequenceAt", ["s", "minus_one"], ["last"]),
        node("SequenceAt", ["s", "one"], ["second"]),
        node("Sub", ["last", "second"], ["y"]),
    ],
    "split to parts": [
        node("SplitToSequence", ["x", "three"], ["s"], axis=-1),
        node("SequenceAt", ["s", "one"], ["second"]),
        node("SequenceLength", ["s"], ["n"]),
        node("Cast", ["n"], ["number"], to=FLOAT),
        node("Mul", ["second", "number"], ["y"]),
    ],
    "split by sizes": [
        node("SplitToSequence", ["x", "sizes"], ["s"], axis=1),
        node("SequenceErase", ["s"], ["t"]),
        node("ConcatFromSequence", ["t"], ["y"], axis=1),
    ],
}


@pytest.mark.parametrize("opset", [11, 13, 18, 24])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(name: str, opset: int) -> None:
    constants = {
        "w": weights(1, 2, SIZE), "r": weights(2, 2, SIZE), "minus_one": np.array(-1), "one": np.array(1),
        "three": np.array(3), "sizes": np.array([1, 2, 1]),
    }  # fmt: skip
    read = {part for made in SEQUENCES[name] for part in made.input}
    constants = {part: array for part, array in constants.items() if part in read}
    assert_same_as_onnx_runtime(
        model(SEQUENCES[name], {"x": (2, SIZE)}, ["y"], constants, opset), x=weights(3, 2, SIZE)
    )


def test_a_position_outside_a_sequence() -> None:
    nodes = [node("SequenceConstruct", ["x", "x"], ["s"]), node("SequenceAt", ["s", "two"], ["y"], name="at")]
    with pytest.raises(IntaglioError, match=r"\[SequenceAt 'at'\] expected a position within a sequence of 2, got 2"):
        load_onnx(model(nodes, {"x": (1, SIZE)}, ["y"], {"two": np.array(2)}, 17))


def branch(*outputs: str, inputs: tuple[str, ...] = ()) -> onnx.GraphProto:
    """A subgraph that gives constants."""
    made = [node("Constant", [], [name], value_float=1.0) for name in outputs]
    return helper.make_graph(
        made, "branch", [info(name, FLOAT, None) for name in inputs], [info(name, FLOAT, None) for name in outputs]
    )


def carried(*inputs: str, outputs: int = 2) -> onnx.GraphProto:
    """The body of a Loop over one state."""
    made = [node("Identity", ["yes"], ["again"]), node("Identity", ["x"], ["state"])]
    results = [info("again", BOOL, None), info("state", FLOAT, None)][:outputs]
    return helper.make_graph(made, "body", [info(name, INT, None) for name in inputs], results)


def scan(count: int, **more: list[int]) -> list[onnx.NodeProto]:
    return [node("Scan", ["x"], ["y"], name="it", num_scan_inputs=count, body=branch("a", inputs=("i",)), **more)]


TWO = np.array([1, 1])
WRONG: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], str]] = {
    "split 0": (
        [node("SplitToSequence", ["x", "n"], ["s"], name="it"), node("SequenceAt", ["s", "one"], ["y"])],
        {"n": np.array(0)},
        r"\[SplitToSequence 'it'\] expected sizes of at least 1 that make 2 together, got 0; correct its second input",
    ),
    "split sizes": (
        [node("SplitToSequence", ["x", "n"], ["s"], name="it"), node("SequenceAt", ["s", "one"], ["y"])],
        {"n": np.array([1, 3])},
        r"\[SplitToSequence 'it'\] expected sizes of at least 1 that make 2 together, got \[1, 3\]",
    ),
    "split axis": (
        [node("SplitToSequence", ["x"], ["s"], name="it", axis=5), node("SequenceAt", ["s", "one"], ["y"])],
        {},
        r"\[SplitToSequence 'it'\] expected different axes in \[-2, 2\), got \[5\]",
    ),
    **{
        f"{op_type} at two": (
            [
                node("SequenceConstruct", ["x", "x"], ["s"]),
                node(op_type, ["s", *(["x"] if op_type == "SequenceInsert" else []), "two"], ["t"], name="it"),
                node("Identity" if op_type == "SequenceAt" else "ConcatFromSequence", ["t"], ["y"], **more),
            ],
            {"two": TWO},
            rf"\[{op_type} 'it'\] expected one number as position, got 2 \(shape \(2,\)\)",
        )
        for op_type, more in (
            ("SequenceAt", {}), ("SequenceInsert", {"axis": 0}), ("SequenceErase", {"axis": 0})
        )
    },
    "condition of If": (
        [node("If", ["two"], ["y"], name="it", then_branch=branch("a"), else_branch=branch("b"))],
        {"two": np.array([True, False])},
        r"\[If 'it'\] expected one number as condition, got 2",
    ),
    "outputs of If": (
        [node("If", ["true"], ["y", "z"], name="it", then_branch=branch("a"), else_branch=branch("b"))],
        {},
        r"\[If 'it'\] expected a subgraph 'then_branch' with 0 inputs and at least 2 outputs, .* got 0 inputs and 1",
    ),
    "no branch": (
        [node("If", ["true"], ["y"], name="it", else_branch=branch("b"))],
        {},
        r"\[If 'it'\] expected a subgraph 'then_branch', got none; check the model with onnx.checker",
    ),
    "trip count": (
        [node("Loop", ["two", "true", "x"], ["y"], name="it", body=carried("i", "yes", "h"))],
        {"two": TWO},
        r"\[Loop 'it'\] expected one number as trip count, got 2",
    ),
    "condition of Loop": (
        [node("Loop", ["one", "two", "x"], ["y"], name="it", body=carried("i", "yes", "h"))],
        {"two": np.array([True, True])},
        r"\[Loop 'it'\] expected one number as condition, got 2",
    ),
    "inputs of a body": (
        [node("Loop", ["one", "true", "x"], ["y"], name="it", body=carried("i", "yes"))],
        {},
        r"\[Loop 'it'\] expected a subgraph 'body' with 3 inputs and at least 2 outputs, .* got 2 inputs and 2 outputs",
    ),
    "outputs of a body": (
        [node("Loop", ["one", "true", "x"], ["y"], name="it", body=carried("i", "yes", "h", outputs=1))],
        {},
        r"\[Loop 'it'\] expected a subgraph 'body' with 3 inputs and at least 2 outputs, .* got 3 inputs and 1 outputs",
    ),
    "scanned inputs": (
        scan(2),
        {},
        r"\[Scan 'it'\] expected num_scan_inputs from 1 to 1, its number of inputs, got 2",
    ),
    "axes of a Scan": (
        scan(1, scan_input_axes=[0, 1]),
        {},
        r"\[Scan 'it'\] expected 1 numbers in scan_input_axes, got \[0, 1\]",
    ),
    "an axis of a Scan": (
        scan(1, scan_input_axes=[7]),
        {},
        r"\[Scan 'it'\] expected different axes in \[-2, 2\), got \[7\]",
    ),
    "a missing attribute": (
        [node("SequenceConstruct", ["x", "x"], ["s"]), node("ConcatFromSequence", ["s"], ["y"], name="it")],
        {},
        r"\[ConcatFromSequence 'it'\] expected a node as ONNX specifies it, got one that is not \(TypeError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_proper_control_flow_or_sequence_is_named(name: str) -> None:
    nodes, constants, text = WRONG[name]
    constants = {"one": np.array(1), "true": np.array(True), **constants}
    read = {part for made in nodes for part in made.input}
    constants = {part: array for part, array in constants.items() if part in read}
    with pytest.raises(ModelError, match=text):
        load_onnx(model(nodes, {"x": (2, SIZE)}, ["y"], constants, 17))
