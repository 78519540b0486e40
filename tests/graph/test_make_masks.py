"""Masks in front of softmaxes get one form, and the network computes what it did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, assert_same, check, run
from onnx import TensorProto

from intaglio.frontends import load_onnx, prepare
from intaglio.graph import Graph
from intaglio.graph.attention_masks import dynamic_mask_of, keep_as_sum, mask_of, number_of

f = np.float32
LOWEST = float(np.finfo(f).min)
CAUSAL = np.tril(np.ones((6, 6), bool))
Build = Callable[[Net, str], str]


def masked(number: float, keep: np.ndarray = CAUSAL) -> np.ndarray:
    return np.where(keep, f(0), f(number))


def add(mask: np.ndarray, axis: int = -1) -> Build:
    return lambda net, x: net.op("Softmax", net.op("Add", x, mask), axis=axis)


FORMS: list[tuple[str, Build, list[str]]] = [
    *((f"add {n:g}", add(masked(n)), ["Where", "Softmax"]) for n in (-1.1e5, -1e9, LOWEST, -np.inf)),
    *((f"add {n:g}", add(masked(n)), ["Add", "Softmax"]) for n in (-100.0, -1e3, -1e4, -1e5)),
    ("bias beside -100", add(masked(-100.0) + np.linspace(-2, 3, 6, dtype=f)), ["Add", "Add", "Softmax"]),
    ("mask first", lambda net, x: net.op("Softmax", net.op("Add", masked(-1e4), x)), ["Add", "Softmax"]),
    ("sub", lambda net, x: net.op("Softmax", net.op("Sub", x, masked(1e4))), ["Add", "Softmax"]),
    ("rank", add(masked(-1e9)[None, None]), ["Where", "Softmax"]),
    ("columns", add(masked(-1e9), axis=-2), ["Where", "Softmax"]),
    ("one row for all", add(masked(-1e9, CAUSAL[2])), ["Where", "Softmax"]),
    ("bias beside it", add(masked(-np.inf) + np.linspace(-2, 3, 6, dtype=f)), ["Add", "Where", "Softmax"]),
    ("a row far below", add(masked(-1e4) - f(2000) * (np.arange(6) == 3)[:, None]), ["Add", "Softmax"]),
    ("a row of -1e4", add(masked(-1e4, CAUSAL & (np.arange(6) != 3)[:, None])), ["Add", "Softmax"]),
    ("a row of -500", add(masked(-500, CAUSAL & (np.arange(6) != 3)[:, None])), ["Add", "Softmax"]),
    ("two numbers", add(np.where(CAUSAL, f(0), np.linspace(-9e3, -3e4, 6, dtype=f))), ["Where", "Softmax"]),
    ("one number for each row", add(-f(200) * np.arange(6, dtype=f)[:, None]), ["Softmax"]),
    ("an empty row", add(masked(LOWEST, CAUSAL & (np.arange(6) != 3)[:, None])), ["Where", "Softmax"]),
    ("where", lambda net, x: net.op("Softmax", net.op("Where", CAUSAL, x, f(-1e9))), ["Where", "Softmax"]),
    ("fill", lambda net, x: net.op("Softmax", net.op("Where", ~CAUSAL, f(-np.inf), x)), ["Where", "Softmax"]),
    (
        "never NaN",
        lambda net, x: net.op(
            "Exp", net.op("Where", net.op("IsNaN", p := add(masked(-np.inf))(net, x)), f(0), p), name="result"
        ),
        ["Where", "Softmax", "Exp"],
    ),
    (
        "never NaN without a mask",
        lambda net, x: net.op(
            "Exp", net.op("Where", net.op("IsNaN", p := add(np.zeros((6, 6), f))(net, x)), f(0), p), name="result"
        ),
        ["Softmax", "Exp"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_mask_has_one_form(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Sin", net.input("x", (2, 3, 6, 6)))))
    # Beside numbers of thousands float32 keeps four digits of the scores.
    check(net, ["Sin", *expected], rng, tolerance=1e-3)


@pytest.mark.parametrize("number", [-100.0, -999.0, -1e4])
def test_a_small_number_that_scores_outweigh_stays_a_sum(number: float, rng: np.random.Generator) -> None:
    net = Net()
    scores = net.op("Mul", net.op("Sin", net.input("x", (2, 3, 6, 6))), f(20000))
    net.output(add(masked(number))(net, scores))
    graph = check(net, ["Sin", "Mul", "Add", "Softmax"], rng, tolerance=1e-3)
    (node,) = (node for node in graph.nodes if node.op_type == "Add")
    assert mask_of(node) is not None and number_of(node) == number
    keep_as_sum(node)
    assert mask_of(node) is None and mask_of(next(n for n in graph.copy().nodes if n.op_type == "Add")) is None


LEFT: list[tuple[str, Build, list[str]]] = [
    ("no mask", add(masked(-20.0)), ["Add", "Softmax"]),
    ("small numbers", add(np.where(CAUSAL, f(0), np.linspace(-100, -300, 6, dtype=f))), ["Add", "Softmax"]),
    ("read elsewhere", lambda net, x: net.op("Add", s := net.op("Add", x, masked(-1e4)), net.op("Softmax", s)), [
        "Add", "Softmax", "Add",
    ]),
    ("two axes", lambda net, x: net.op(
        "Add", net.op("Softmax", s := net.op("Add", x, masked(-1e4)), axis=-1), net.op("Softmax", s, axis=-2)
    ), ["Add", "Softmax", "Softmax", "Add"]),
]  # fmt: skip


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in LEFT], ids=[row[0] for row in LEFT])
def test_other_sums_stay(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Sin", net.input("x", (2, 3, 6, 6)))))
    check(net, ["Sin", *expected], rng)


def computed(build: Build, dtype: int, shape: tuple[int, ...] = (1, 4, 4)) -> Net:
    """Softmax of scores and what `build` makes of a mask "m" of (1, 4)."""
    net = Net()
    scores = net.op("Sin", net.input("x", shape))
    added = build(net, net.input("m", (1, 4), dtype))
    return net.output(net.op("Exp", net.op("Softmax", net.op("Add", scores, added)), name="result"))


def check_computed(
    net: Net, masks: bool, rng: np.random.Generator, dtype: np.dtype | None = None, tolerance: float = 1e-5
) -> Graph:
    """Prepare: the sum becomes a mask or stays, and computes what ONNX Runtime computes."""
    graph = prepare(load_onnx(net.model()))
    assert any(dynamic_mask_of(node) is not None for node in graph.nodes) == masks
    shape = [size.dim_value for size in net.inputs[0].type.tensor_type.shape.dim]
    feeds = {"x": rng.standard_normal(shape).astype(f), "m": np.array([[1, 1, 0, 1]], dtype or bool)}
    assert_same(run(graph, feeds), run(net.model(), feeds), tolerance)
    return graph


def times(number: float, added: float = 0.0) -> Build:
    return lambda net, m: net.op("Add", net.op("Mul", net.op("Cast", m, to=TensorProto.FLOAT), f(number)), f(added))


def chosen(number: float, other: float | np.ndarray) -> Build:
    return lambda net, m: net.op("Where", m, f(number), np.asarray(other, f))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
@pytest.mark.parametrize(
    ("number", "added", "masks"), [(1e4, 0, False), (1e4, -2e4, False), (1e4, -1e4, True), (-1e4, 0, True)]
)
def test_integers_mask_only_between_0_and_1(
    dtype: str, number: float, added: float, masks: bool, rng: np.random.Generator
) -> None:
    """`scores + 1e4 * m` favours positions: it is no mask, nor is one with an edge at 2."""
    net = computed(times(number, added), TensorProto.DataType.Value(dtype.upper()))
    graph = check_computed(net, masks, rng, np.dtype(dtype), tolerance=2e-3)
    assert any("its integers are taken to be 0 or 1" in line for line in graph.history) == masks


@pytest.mark.parametrize(
    ("number", "added", "masks"), [(1e4, 0, True), (1e4, -1e4, True), (-1e4, 0, True), (1e9, 0, False)]
)
def test_booleans_mask_where_scores_keep_their_digits(
    number: float, added: float, masks: bool, rng: np.random.Generator
) -> None:
    graph = check_computed(computed(times(number, added), TensorProto.BOOL), masks, rng, tolerance=2e-3)
    lines = [line for line in graph.history if "is a mask of softmax that is computed" in line]
    assert len(lines) == masks
    assert all("a row in which all are masked becomes uniform" in line and "integers" not in line for line in lines)


@pytest.mark.parametrize(
    ("build", "masks"),
    [
        (chosen(-1000, -999), False),
        (chosen(-1000, -1), False),
        (chosen(-1000, 0), True),
        (chosen(-1900, -900), True),
        (lambda net, m: net.op("Where", m, f(-1000), chosen(-2500, -999)(net, net.op("Not", m))), False),
    ],
    ids=["999", "1", "0", "900", "nested"],
)
def test_a_choice_masks_by_its_difference(build: Build, masks: bool, rng: np.random.Generator) -> None:
    check_computed(computed(build, TensorProto.BOOL), masks, rng, tolerance=1e-4)


BROAD: list[tuple[str, Build]] = [
    ("transpose", lambda net, m: net.op("Transpose", chosen(-1e9, np.zeros((1, 4, 4)))(net, m), perm=[0, 2, 1])),
    ("slice", lambda net, m: net.op("Slice", chosen(-1e9, np.zeros((1, 8, 4)))(net, m), [4], [8], [1])),
    ("unsqueeze", lambda net, m: net.op(
        "Unsqueeze", chosen(-1e9, np.zeros((4, 4)))(net, net.op("Reshape", m, [4])), [1]
    )),
    ("line", lambda net, m: net.op(
        "Transpose",
        net.op("Add", net.op("Mul", net.op("Cast", m, to=TensorProto.FLOAT), f(-1e9)), np.zeros((1, 4, 4), f)),
        perm=[0, 2, 1],
    )),
]  # fmt: skip


@pytest.mark.parametrize(("name", "build"), BROAD, ids=[row[0] for row in BROAD])
def test_booleans_move_in_the_shape_of_their_mask(name: str, build: Build, rng: np.random.Generator) -> None:
    """The condition has fewer elements, or axes, than the mask that is moved."""
    shape = (4, 4, 4) if name == "unsqueeze" else (1, 4, 4)
    check_computed(computed(build, TensorProto.BOOL, shape), True, rng)


INFINITE: list[tuple[str, Build]] = [
    ("choice", lambda net, m: net.op("Where", m, f(0), f(-np.inf))),
    ("moved", lambda net, m: net.op("Transpose", net.op("Where", m, f(0), f(-np.inf)), perm=[0, 2, 1])),
    ("scaled", lambda net, m: net.op("Mul", net.op("Where", m, f(1), f(-np.inf)), f(0.5))),
    ("logarithm", lambda net, m: net.op("Log", net.op("Cast", m, to=TensorProto.FLOAT))),
]


@pytest.mark.parametrize("build", [row[1] for row in INFINITE], ids=[row[0] for row in INFINITE])
def test_a_test_for_nan_stays_where_rows_may_be_infinite(build: Build, rng: np.random.Generator) -> None:
    """The mask makes the scores larger, so that it is not taken for one, and IsNaN still has something to find."""
    net = Net()
    scores = net.op("Sin", net.input("x", (1, 1, 4)))
    added = build(net, net.input("m", (1, 4, 4), TensorProto.BOOL))
    shares = net.op("Softmax", net.op("Add", scores, added))
    net.output(net.op("Exp", net.op("Where", net.op("IsNaN", shares), f(0), shares), name="result"))
    graph = prepare(load_onnx(net.model()))
    keep = (np.arange(4) != 1) & (np.arange(4) != 1)[None, :, None]
    feeds = {"x": rng.standard_normal((1, 1, 4)).astype(f), "m": keep}
    assert_same(run(graph, feeds), run(net.model(), feeds))
