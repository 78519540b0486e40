"""Networks that compute with the size of their batch have a fixed one, and say so; nothing is baked in silently."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net, assert_same, feeds_for, ops, run

from intaglio.frontends import load, load_onnx
from intaglio.graph import shape


def batch_of(net: Net, x: str) -> str:
    """The size of axis 0, a float."""
    return net.op("Cast", net.op("Gather", net.op("Shape", x), np.array(0)), to=onnx.TensorProto.FLOAT)


def chosen(net: Net, x: str, compare: str, size: int) -> str:
    """x or -x, by a comparison of the batch."""
    condition = net.op(compare, batch_of(net, x), np.float32(size))
    branches = [
        onnx.helper.make_graph(
            [onnx.helper.make_node(operator, [x], [f"{operator}.y"], name=operator)],
            operator,
            [],
            [onnx.helper.make_tensor_value_info(f"{operator}.y", onnx.TensorProto.FLOAT, None)],
        )
        for operator in ("Relu", "Neg")
    ]
    return net.op("If", condition, then_branch=branches[0], else_branch=branches[1])


DEPENDENT: dict[str, Callable[[Net, str], str]] = {
    "over the batch": lambda net, x: net.op("Div", x, batch_of(net, x)),
    "times its inverse": lambda net, x: net.op("Mul", x, net.op("Reciprocal", batch_of(net, x))),
    "mean by Size": lambda net, x: net.op(
        "Div", net.op("ReduceSum", x, [1, 2]), net.op("Cast", net.op("Size", x), to=onnx.TensorProto.FLOAT)
    ),
    "if the batch is 1": lambda net, x: chosen(net, x, "Equal", 1),
    "if the batch is large": lambda net, x: chosen(net, x, "Less", 40),
}


@pytest.mark.parametrize("make", DEPENDENT.values(), ids=DEPENDENT.keys())
@pytest.mark.parametrize("size", ["N", 1, 4])
def test_what_depends_on_the_batch_fixes_it(
    make: Callable[[Net, str], str], size: int | str, rng: np.random.Generator
) -> None:
    net = Net()
    model = net.output(make(net, net.input("x", (size, 3, 4)))).model()
    graph = load(model)
    assert not graph.batched
    fixed = 1 if size == "N" else size
    assert shape(graph.inputs[0]) == (fixed, 3, 4)
    assert f"is fixed to {fixed}" in graph.history[0]
    assert "depends on" in graph.history[0]
    feeds = feeds_for(model, rng, batch=int(fixed))
    assert_same(run(graph, feeds), run(model, feeds))


INDEPENDENT: dict[str, Callable[[Net, str], str]] = {
    "reshape": lambda net, x: net.op(
        "Reshape", x, net.op("Concat", net.op("Gather", net.op("Shape", x), [0]), [-1], axis=0)
    ),
    "expand": lambda net, x: net.op("Add", x, net.op("Expand", net.normal(1, 3, 4), net.op("Shape", x))),
    "over another axis": lambda net, x: net.op(
        "Div", x, net.op("Cast", net.op("Gather", net.op("Shape", x), np.array(2)), to=onnx.TensorProto.FLOAT)
    ),
    "over its own ratio": lambda net, x: net.op("Div", x, net.op("Div", batch_of(net, x), batch_of(net, x))),
}


@pytest.mark.parametrize("make", INDEPENDENT.values(), ids=INDEPENDENT.keys())
@pytest.mark.parametrize("size", ["N"])
def test_sizes_that_do_not_matter_leave_the_batch_open(
    make: Callable[[Net, str], str], size: int | str, rng: np.random.Generator
) -> None:
    net = Net()
    model = net.output(net.op("Relu", make(net, net.input("x", (size, 3, 4))))).model()
    graph = load_onnx(model)
    assert graph.batched, graph.history
    assert not graph.history
    feeds = feeds_for(model, rng, batch=4)
    assert_same(run(graph, feeds), run(model, feeds))


def test_a_fixed_batch_stays_fixed_in_copies_and_files(tmp_path: object, rng: np.random.Generator) -> None:
    net = Net()
    graph = load(net.output(DEPENDENT["over the batch"](net, net.input("x", ("N", 3, 4)))).model())
    assert not graph.copy().batched
    assert not load(graph).batched
    assert not load(graph.proto()).batched


def test_a_mean_over_the_batch_says_why_the_batch_is_fixed() -> None:
    net = Net()
    x = net.input("x", ("N", 3))
    graph = load_onnx(net.output(net.op("Sub", x, net.op("ReduceMean", x, [0], name="mean"))).model())
    assert not graph.batched
    assert graph.history == [
        "the batch, which the model leaves open, is fixed to 1: [ReduceMean 'node_mean'] mixes samples or moves the "
        "batch away from axis 0; give another size with its shape"
    ]
    wide = load_onnx(net.model(), {"x": (5, 3)})
    assert shape(wide.inputs[0]) == (5, 3)
    assert ops(wide) == ops(graph)


def test_open_batch_that_is_mixed_stays_fixed_when_prepared(rng: np.random.Generator) -> None:
    """A mean over one sample does nothing: a pass takes it out, and what is left would keep samples apart."""
    net = Net()
    x = net.input("x", ("N", 4))
    model = net.output(net.op("Sub", net.op("Mul", x, np.float32(3)), net.op("ReduceMean", x, [0]))).model()
    graph = load(model)
    assert not graph.batched
    feeds = feeds_for(model, rng, batch=1)
    assert_same(run(graph, feeds), run(model, feeds), 1e-6)
