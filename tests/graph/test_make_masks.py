"""Masks in front of softmaxes get one form, and the network computes what it did."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check

from intaglio.graph.attention_masks import keep_as_sum, mask_of, number_of

f = np.float32
LOWEST = float(np.finfo(f).min)
CAUSAL = np.tril(np.ones((6, 6), bool))
Build = Callable[[Net, str], str]


def masked(number: float, keep: np.ndarray = CAUSAL) -> np.ndarray:
    return np.where(keep, f(0), f(number))


def add(mask: np.ndarray, axis: int = -1) -> Build:
    return lambda net, x: net.op("Softmax", net.op("Add", x, mask), axis=axis)


FORMS: list[tuple[str, Build, list[str]]] = [
    *((f"add {n:g}", add(masked(n)), ["Where", "Softmax"]) for n in (-1e4, -1e9, LOWEST, -np.inf)),
    *((f"add {n:g}", add(masked(n)), ["Add", "Softmax"]) for n in (-100.0, -1e3)),
    ("bias beside -100", add(masked(-100.0) + np.linspace(-2, 3, 6, dtype=f)), ["Add", "Add", "Softmax"]),
    ("mask first", lambda net, x: net.op("Softmax", net.op("Add", masked(-1e4), x)), ["Where", "Softmax"]),
    ("sub", lambda net, x: net.op("Softmax", net.op("Sub", x, masked(1e4))), ["Where", "Softmax"]),
    ("rank", add(masked(-1e9)[None, None]), ["Where", "Softmax"]),
    ("columns", add(masked(-1e9), axis=-2), ["Where", "Softmax"]),
    ("one row for all", add(masked(-1e9, CAUSAL[2])), ["Where", "Softmax"]),
    ("bias beside it", add(masked(-np.inf) + np.linspace(-2, 3, 6, dtype=f)), ["Add", "Where", "Softmax"]),
    ("a row far below", add(masked(-1e4) - f(2000) * (np.arange(6) == 3)[:, None]), ["Where", "Softmax"]),
    ("a row of -1e4", add(masked(-1e4, CAUSAL & (np.arange(6) != 3)[:, None])), ["Where", "Softmax"]),
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


@pytest.mark.parametrize("number", [-100.0, -999.0])
def test_a_small_number_that_scores_outweigh_stays_a_sum(number: float, rng: np.random.Generator) -> None:
    net = Net()
    scores = net.op("Mul", net.op("Sin", net.input("x", (2, 3, 6, 6))), f(2000))
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
