"""Operators that are written with others when a model is loaded: what becomes of them, and which forms stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from intaglio_tests.operator_nets import lowered, model

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.onnx import load_onnx
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.graph.passes import prepare
from intaglio.plan import place
from intaglio.simulate import Simulator
from intaglio.targets import load_target

node = onnx.helper.make_node
RNG = np.random.default_rng(3)
Sizes = tuple[int | str, ...]


def loaded(op_type: str, *inputs: Sizes | Any, outputs: int = 1, **attributes: Any) -> Graph:
    """A network of one operator: shapes are computed inputs, arrays constants."""
    shapes = {f"x{i}": size for i, size in enumerate(inputs) if isinstance(size, tuple)}
    constants = {f"c{i}": array for i, array in enumerate(inputs) if not isinstance(array, tuple)}
    names = [f"x{i}" if isinstance(given, tuple) else f"c{i}" for i, given in enumerate(inputs)]
    results = ["y", "z"][:outputs]
    return load_onnx(model([node(op_type, names, results, "it", **attributes)], shapes, constants, results))


def kinds(graph: Graph) -> list[str]:
    return [node.op_type for node in graph.nodes]


def normal(*size: int) -> Any:
    return RNG.normal(size=size).astype(np.float32)


@pytest.mark.parametrize(
    ("equation", "inputs", "wanted"),
    [
        ("bij,jk->bik", [("n", 4, 5), normal(5, 6)], ["MatMul"]),
        ("bhid,bhjd->bhij", [("n", 2, 3, 4), ("n", 2, 5, 4)], ["Transpose", "MatMul"]),
        ("bhwc,hkc->bhwk", [("n", 3, 4, 5), normal(3, 6, 5)], ["MatMul"]),
        ("ij,bjk->bik", [normal(4, 5), ("n", 5, 6)], ["Transpose", "MatMul", "Transpose"]),
        ("bi,bi->bi", [("n", 5), ("n", 5)], ["Mul"]),
        ("b...->b", [("n", 3, 4)], ["ReduceSum"]),
        ("bij,jk,kl->bil", [("n", 3, 4), normal(4, 5), normal(5, 2)], ["MatMul", "MatMul"]),
    ],
)
def test_an_einsum_becomes_one_product_and_keeps_its_batch(equation: str, inputs: list[Any], wanted: list[str]) -> None:
    graph = loaded("Einsum", *inputs, equation=equation)
    assert graph.batched
    assert kinds(prepare(graph)) == wanted


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "way_out"),
    [
        ("Einsum", [(4, 4)], {"equation": "ii->i"}, "a diagonal"),
        ("RandomNormalLike", [(1, 2)], {}, "module.eval()"),
    ],
)
def test_what_stays_is_refused_with_a_way_out(
    op_type: str, inputs: list[Any], attributes: dict[str, Any], way_out: str
) -> None:
    graph = loaded(op_type, *inputs, **attributes)
    with pytest.raises(UnsupportedOperatorError) as caught:
        place(graph, load_target("cpu-int8"))
    assert f"[{op_type} 'it']" in str(caught.value)
    assert way_out in str(caught.value)


@pytest.mark.parametrize(
    ("op_type", "size", "axis", "keepdims", "updates"),
    [
        ("GatherND", (3, 2, 2), 1, 0, ()),
        ("ReverseSequence", (2, 4), 0, 0, ()),
        ("ScatterElements", (2, 4), 1, 1, (2, 1)),
        ("ScatterND", (2, 4), 1, 1, (2, 4)),
        ("MaxUnpool", (1, 1, 4, 4), 2, 1, ()),
    ],
)
def test_computed_indices_are_refused_by_name(
    op_type: str, size: tuple[int, ...], axis: int, keepdims: int, updates: tuple[int, ...]
) -> None:
    """Those of several axes, and where to write: one axis to read at is another matter."""
    attributes = {"kernel_shape": [1, 1]} if op_type == "MaxUnpool" else {}
    nodes = [
        node("ArgMax", ["x"], ["i"], "which", axis=axis, keepdims=keepdims),
        node(op_type, ["x", "i", *(["u"] if updates else [])], ["y"], "it", **attributes),
    ]
    if op_type == "MaxUnpool":
        nodes[1].input[0] = "top"
        nodes.insert(1, node("ReduceMax", ["x", "axes"], ["top"], "top", keepdims=1))
    constants = {"u": normal(*updates)} if updates else {"axes": np.array([axis])} if len(nodes) == 3 else {}
    graph = load_onnx(model(nodes, {"x": size}, constants))
    with pytest.raises(UnsupportedOperatorError, match=rf"\[{op_type} 'it'\].*computed at run time"):
        place(graph, load_target("cpu-int8"))


def test_layers_may_depend_on_the_largest_element() -> None:
    nodes = [
        node("TopK", ["x", "k"], ["top", "i"], "top", axis=1),
        node("Gather", ["table", "i"], ["row"], "row", axis=0),
        node("Mul", ["row", "top_"], ["scaled"], "scaled"),
        node("Unsqueeze", ["top", "axes"], ["top_"], "wide"),
        node("MatMul", ["scaled", "w"], ["y"], "layer"),
    ]
    nodes[2:4] = nodes[3], nodes[2]
    constants = {"k": np.array([1]), "table": normal(6, 16), "axes": np.array([2]), "w": normal(16, 8)}
    proto = model(nodes, {"x": ("n", 6)}, constants)
    graph = load_onnx(proto)
    assert graph.tail is None and graph.batched
    assert {"ArgMax", "ReduceMax"} < set(kinds(graph)) and "TopK" not in kinds(graph)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    (got,) = Simulator(graph, device="cpu").run(x)
    np.testing.assert_allclose(got, session(proto).run(None, {"x": x})[0], rtol=1e-5, atol=1e-5)
    nodes[0].input[1] = "two"
    with pytest.raises(UnsupportedOperatorError, match="integers cannot select or sort by values"):
        load_onnx(model(nodes, {"x": ("n", 6)}, {**constants, "two": np.array([2])}))


def test_indices_that_are_the_same_for_each_sample_keep_the_batch() -> None:
    """As exporters write them: repeated for each sample of an open batch."""
    indices = np.array([[[4, 0, 1]] * 2] * 2)
    nodes = [
        node("Shape", ["x"], ["size"], "size"),
        node("Slice", ["size", "zero", "one"], ["samples"], "samples"),
        node("Concat", ["samples", "rest"], ["target"], "target", axis=0),
        node("Expand", ["i", "target"], ["all"], "all"),
        node("GatherElements", ["x", "all"], ["y"], "it", axis=2),
    ]
    constants = {"zero": [0], "one": [1], "rest": [2, 3], "i": indices[:1]}
    graph = load_onnx(model(nodes, {"x": ("n", 2, 5)}, {name: np.array(a) for name, a in constants.items()}))
    assert graph.batched
    x = normal(7, 2, 5)
    np.testing.assert_array_equal(Simulator(graph, device="cpu").run(x)[0], x[:, :, [4, 0, 1]])


def test_neighbours_are_selected_together() -> None:
    """A Gather of rows where whole rows are named element by element."""
    indices = np.broadcast_to(np.array([3, 0, 2])[:, None], (1, 3, 8))
    graph = loaded("GatherElements", (1, 4, 8), np.ascontiguousarray(indices), axis=1)
    gather = next(node for node in graph.nodes if node.op_type == "Gather")
    assert tuple(gather.inputs[1].shape) == (3,)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize(("mode", "corners"), [("linear", 0), ("nearest", 1), ("cubic", 1)])
def test_sampling_on_a_constant_grid(mode: str, padding: str, corners: int) -> None:
    grid = np.random.default_rng(7).uniform(-1.2, 1.2, (1, 4, 5, 2)).astype(np.float32)
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    proto = model([node("GridSample", ["x", "g"], ["y"], "it", **options)], {"x": (1, 3, 6, 5)}, {"g": grid}, opset=22)
    x = normal(1, 3, 6, 5)
    graph = prepare(load_onnx(proto))
    assert graph.batched
    got = Simulator(graph, device="cpu").run(x)[0]
    np.testing.assert_allclose(got, session(proto).run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)
    lowered(graph, "cpu-int8", {"x": x}).check()


@pytest.mark.parametrize("op_type", ["Max", "Min"])
@pytest.mark.parametrize("other", [("n", 4, 6, 5), ("n", 4, 1, 1)])
def test_the_larger_of_two_computed_values(op_type: str, other: Sizes) -> None:
    graph = prepare(loaded(op_type, ("n", 4, 6, 5), other))
    assert graph.batched
    data = {"x0": normal(3, 4, 6, 5), "x1": normal(3, *other[1:])}
    want = (np.maximum if op_type == "Max" else np.minimum)(data["x0"], data["x1"])
    np.testing.assert_array_equal(Simulator(graph, device="cpu").run(*data.values())[0], want)
    case = lowered(graph, "cpu-int8", data)
    case.check()
    step = float(case.plan.params("y").scale)
    assert np.abs(case.program.run(*data.values()) - want).max() <= 1.001 * step


@pytest.mark.parametrize("opset", [11, 13, 24])
@pytest.mark.parametrize("given", [("low", "high"), ("low", ""), ("", "high"), ("number", "high"), ("high", "low")])
def test_clip_with_computed_bounds(given: tuple[str, str], opset: int) -> None:
    """Crossed bounds too: then the upper one wins everywhere."""
    nodes = [
        node("ReduceMin", ["z"], ["least"], "least", keepdims=0),
        node("Relu", ["least"], ["low"], "low"),
        node("ReduceMax", ["z"], ["high"], "high", keepdims=0),
        node("Clip", ["x", *given], ["y"], "it"),
    ]
    proto = model(nodes, {"x": (1, 4, 6), "z": (1, 3)}, {"number": np.float32(-0.25)}, opset=opset)
    graph = prepare(load_onnx(proto))
    assert "Clip" not in kinds(graph) or "number" in given
    data = {"x": normal(1, 4, 6), "z": np.array([[0.1, 0.3, 0.8]], np.float32)}
    (want,) = session(proto).run(None, data)
    np.testing.assert_array_equal(Simulator(graph, device="cpu").run(*data.values())[0], want)
    case = lowered(graph, "cpu-int8", data)
    case.check()
    assert np.abs(case.program.run(*data.values()) - want).max() <= 1.501 * float(case.plan.params("y").scale)


@pytest.mark.parametrize("axis", [1, -1])
def test_hardmax_marks_the_largest(axis: int) -> None:
    graph = prepare(loaded("Hardmax", ("n", 4, 5), axis=axis))
    x = np.random.default_rng(1).permutation(2 * 4 * 5).reshape(2, 4, 5).astype(np.float32)
    want = (x == x.max(axis=axis, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(Simulator(graph, device="cpu").run(x)[0], want)
    np.testing.assert_array_equal(lowered(graph, "cpu-int8", {"x0": x}).program.run(x), want)


@pytest.mark.parametrize(
    ("op_type", "wanted"),
    [
        ("ReduceL1", ["Abs", "ReduceSum"]),
        ("ReduceLogSum", ["ReduceSum", "Log"]),
        ("ReduceLogSumExp", ["ReduceMax", "Sub", "Exp", "ReduceSum", "Log", "Add", "Squeeze"]),
        ("ReduceProd", ["Slice", "Slice", "Slice", "Mul", "Mul", "Squeeze"]),
    ],
)
def test_reductions_become_sums_and_maxima(op_type: str, wanted: list[str]) -> None:
    graph = loaded(op_type, ("n", 4, 3), np.array([2]), keepdims=0)
    assert graph.batched
    assert kinds(graph) == wanted


def test_local_response_normalization_is_a_pool_of_squares_along_the_channels() -> None:
    graph = loaded("LRN", ("n", 6, 4, 5), size=3)
    assert graph.batched
    assert kinds(graph) == [
        "Mul",
        "Transpose",
        "Reshape",
        "AveragePool",
        "Reshape",
        "Transpose",
        "Mul",
        "Add",
        "Pow",
        "Mul",
    ]


class Response(torch.nn.Module):
    """PyTorch pools volumes; an even window reaches further down than up there."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = torch.nn.LocalResponseNorm(size, alpha=0.5, beta=0.6, k=2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


@pytest.mark.parametrize("size", [3, 4])
def test_local_response_normalization_of_torch_has_no_pool_of_volumes(size: int) -> None:
    module, x = Response(size), torch.as_tensor(normal(1, 6, 4, 5))
    graph = load_torch(module, (x,))
    assert next(node for node in graph.nodes if node.op_type == "AveragePool").inputs[0].shape == (1, 1, 20, 6)
    (got,) = Simulator(graph, device="cpu").run(x.numpy())
    np.testing.assert_allclose(got, module(x).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["rows", "uncounted", "edge", "doubled"])
def test_other_averages_of_squares_are_no_local_response(form: str) -> None:
    """Over rows of an image of as many rows as channels; with borders that are not counted, or repeated; of 2 x."""
    x, counted, pads = "x0", int(form != "uncounted"), [0] * 6
    nodes = [node("Mul", [x, "two" if form == "doubled" else x], ["s"], "s")]
    pooled = "s"
    if form != "rows":
        nodes.append(node("Reshape", ["s", "volume"], ["v"], "v"))
        pooled = "v"
    if form == "edge":
        nodes.append(node("Pad", ["v", "around"], ["e"], "e", mode="edge"))
        pooled = "e"
    else:
        pads = [1, 0, 0, 1, 0, 0]
    kernel = [3, 1] if form == "rows" else [3, 1, 1]
    pads = [1, 0, 1, 0] if form == "rows" else pads
    options = {"kernel_shape": kernel, "pads": pads, "count_include_pad": counted}
    nodes.append(node("AveragePool", [pooled], ["m" if form == "rows" else "p"], "p", **options))
    if form != "rows":
        nodes.append(node("Reshape", ["p", "image"], ["m"], "m"))
    nodes += [
        node("Mul", ["m", "alpha"], ["a"], "a"), node("Add", ["a", "k"], ["b"], "b"),
        node("Pow", ["b", "beta"], ["c"], "c"), node("Div", [x, "c"], ["y"], "y"),
    ]  # fmt: skip
    constants = {
        "volume": np.array([1, 1, 4, 4, 5]), "image": np.array([1, 4, 4, 5]), "around": np.array([0, 0, 1, 0, 0] * 2),
        "two": np.float32(2), "alpha": np.float32(0.5), "k": np.float32(4), "beta": np.float32(0.75),
    }  # fmt: skip
    read = {name for one in nodes for name in one.input}
    proto = model(nodes, {x: (1, 4, 4, 5)}, {name: np.asarray(a) for name, a in constants.items() if name in read})
    data = normal(1, 4, 4, 5)
    (got,) = Simulator(load_onnx(proto), device="cpu").run(data)
    np.testing.assert_allclose(got, session(proto).run(None, {x: data})[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op_type", ["ScatterElements", "ScatterND"])
@pytest.mark.parametrize("reduction", ["none", "add", "mul"])
def test_an_empty_scatter_returns_the_data(op_type: str, reduction: str) -> None:
    data = normal(3, 4)
    indices = np.zeros((0, 4) if op_type == "ScatterElements" else (0, 1), np.int64)
    graph = loaded(op_type, (3, 4), indices, normal(0, 4), reduction=reduction)
    assert kinds(graph) == ["Identity"]
    (y,) = Simulator(graph, device="cpu")({"x0": torch.from_numpy(data)}).values()
    np.testing.assert_array_equal(y.numpy(), data)


@pytest.mark.parametrize("op_type", ["GatherElements", "ScatterElements"])
def test_indices_larger_than_the_data_are_refused_by_name(op_type: str) -> None:
    rest = [normal(4, 2)] if op_type == "ScatterElements" else []
    with pytest.raises(
        ModelError, match=rf"\[{op_type} 'it'\] expected indices no larger than the data, \(3, 5\), bes"
    ):
        loaded(op_type, (3, 5), np.zeros((4, 2), np.int64), *rest, axis=1)


def test_a_triangle_of_infinities_has_zeros_beside_it() -> None:
    graph = loaded("Trilu", ("n", 3, 3))
    x = torch.full((2, 3, 3), -torch.inf)
    (y,) = Simulator(graph, device="cpu")({"x0": x}).values()
    np.testing.assert_array_equal(y.numpy(), np.triu(x.numpy()))
