"""From Graph and Plan to Program: names, outputs, errors, and a comparison that can fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.program_follows import assert_program_follows

from intaglio.errors import LoweringError
from intaglio.frontends.onnx import load_onnx
from intaglio.lower import lower
from intaglio.plan import place
from intaglio.program import Program
from intaglio.program.operators.conv2d import Conv2d
from intaglio.simulate import Simulator
from intaglio.targets import load_target

Model = Callable[..., onnx.ModelProto]
RNG = np.random.default_rng(5)
node = onnx.helper.make_node


def normal(*size: int) -> Any:
    return RNG.normal(size=size).astype(np.float32)


def convolution(model: Model, lowered: Any) -> Any:
    nodes = [node("Conv", ["x", "w", "b"], ["z"], "conv", pads=[1] * 4), node("Relu", ["z"], ["y"], "relu")]
    graph = load_onnx(model(nodes, {"x": ("n", 3, 5, 4)}, {"w": normal(6, 3, 3, 3), "b": normal(6)}))
    return lowered(graph, "cpu-int8", {"x": RNG.normal(size=(4, 3, 5, 4))})


def test_tensors_have_the_graphs_names_and_orders_of_axes(model: Model, lowered: Any) -> None:
    case = convolution(model, lowered)
    real = case.program.trace_real(case.x["x"])
    assert real["x"].shape == (4, 3, 5, 4)
    assert real["y"].shape == (4, 6, 5, 4)
    assert "z" not in real, "a fused value has no representation"
    simulated = Simulator(case.graph, case.plan, device="cpu").run(case.x["x"])[0]
    assert np.abs(real["y"] - simulated).max() <= 1.001 * float(case.plan.params("y").scale)


def test_any_batch_gives_the_same_integers(model: Model, lowered: Any) -> None:
    program = convolution(model, lowered).program
    x = RNG.normal(size=(5, 3, 5, 4)).astype(np.float32)
    together = program.run(x)
    for i in range(5):
        assert np.array_equal(program.run(x[i : i + 1]), together[i : i + 1])


def test_outputs_that_are_one_tensor_under_several_names(model: Model, lowered: Any) -> None:
    """The input itself, turned; one value turned in two ways, where turning moves nothing."""
    nodes = [
        node("Transpose", ["x"], ["turned"], "t", perm=[0, 2, 3, 1]),
        node("Conv", ["x", "w"], ["y"], "conv"),
        node("GlobalAveragePool", ["y"], ["pooled"], "pool"),
        node("Transpose", ["pooled"], ["last"], "u", perm=[0, 2, 3, 1]),
        node("Identity", ["pooled"], ["same"], "same"),
    ]
    graph = load_onnx(
        model(nodes, {"x": ("n", 3, 5, 4)}, {"w": normal(6, 3, 3, 3)}, ["turned", "y", "pooled", "last", "same"])
    )
    case = lowered(graph, "cpu-int8", {"x": RNG.normal(size=(2, 3, 5, 4))})
    case.check()
    assert len(set(case.program.outputs)) == 5
    names = [case.program.tensors[name].graph_name for name in case.program.outputs]
    assert names == ["turned", "y", "pooled", "last", "same"]
    wanted = Simulator(graph, case.plan, device="cpu").run(case.x["x"])
    for got, want, name in zip(case.program.run(case.x["x"]), wanted, names, strict=True):
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 2.001 * float(case.plan.params(name).scale)


def test_a_graph_without_a_batch(model: Model, lowered: Any) -> None:
    nodes = [node("Transpose", ["x"], ["t"], "t", perm=[1, 0]), node("MatMul", ["t", "x"], ["y"], "product")]
    graph = load_onnx(model(nodes, {"x": (4, 3)}))
    assert not graph.batched
    case = lowered(graph, "cpu-int8", {"x": RNG.normal(size=(4, 3))})
    case.check()
    assert case.program.run(case.x["x"]).shape == (3, 3)


def test_nothing_is_lowered_before_it_is_calibrated(model: Model) -> None:
    graph = load_onnx(model([node("Neg", ["x"], ["y"], "neg")], {"x": ("n", 3)}))
    with pytest.raises(LoweringError, match=r"\[Neg 'neg'\] value 'y' has no parameters: calibrate first"):
        lower(graph, place(graph, load_target("cpu-int8")))


def test_every_blocker_is_listed(model: Model, lowered: Any) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"], "one"),
        node("Abs", ["a"], ["b"], "after"),
        node("MatMul", ["x", "v"], ["c"], "two"),
    ]
    size = 70_000  # 255 * 127 * 70000 > 2**31
    weights = {name: np.ones((size, 2), np.float32) for name in ("w", "v")}
    graph = load_onnx(model(nodes, {"x": ("n", size)}, weights, outputs=["b", "c"]))
    with pytest.raises(LoweringError) as caught:
        lowered(graph, "mcu-int8", {"x": RNG.uniform(0, 1, (2, size))})
    assert [b.split("]")[0] for b in caught.value.blockers] == ["[MatMul 'one'", "[MatMul 'two'"]


def test_sums_that_do_not_fit_are_refused(model: Model, lowered: Any) -> None:
    size = 70_000  # 255 * 127 * 70000 > 2**31
    weight = np.ones((size, 2), np.float32)
    graph = load_onnx(model([node("MatMul", ["x", "w"], ["y"], "wide")], {"x": ("n", size)}, {"w": weight}))
    with pytest.raises(
        LoweringError, match=r"\[MatMul 'wide'\] accumulator: expected sums of at most 32 bits, got up to "
    ):
        lowered(graph, "mcu-int8", {"x": RNG.uniform(0, 1, (2, size))})


def altered(program: Program, **fields: Any) -> Program:
    """The program with other parameters in its convolution."""
    nodes = [
        dataclasses.replace(n, operator=dataclasses.replace(n.operator, **fields))
        if isinstance(n.operator, Conv2d)
        else n
        for n in program.nodes
    ]
    return dataclasses.replace(program, nodes=nodes)


def test_the_comparison_sees_a_wrong_bias_and_a_missing_clamp(model: Model, lowered: Any) -> None:
    case = convolution(model, lowered)
    operator = next(n.operator for n in case.program.nodes if isinstance(n.operator, Conv2d))
    steps = float(operator.requantize.real.min())
    bias = operator.bias.copy()
    bias[2] += int(np.ceil(3 / steps))
    with pytest.raises(AssertionError, match=r"\[Relu 'relu'\] \d+ of 480 numbers are more than 1 steps off, up to"):
        assert_program_follows(case.graph, case.plan, altered(case.program, bias=bias), case.x)
    lower_zero_point = altered(case.program, y_zero_point=operator.y_zero_point + 4)
    with pytest.raises(AssertionError, match="steps off"):
        assert_program_follows(case.graph, case.plan, lower_zero_point, case.x)


@pytest.mark.parametrize("border", [-np.inf, -1e9, -1e4, -0.5, 0.75])
@pytest.mark.parametrize("dilation", [1, 2])
def test_a_border_that_only_max_pools_read_sets_no_range(
    model: Model, lowered: Any, border: float, dilation: int
) -> None:
    """Pads that the pool cannot take in: its windows have gaps, or lie in the border alone."""
    width = 3 if dilation == 2 else 1
    nodes = [
        node("Pad", ["x", "pads", "border"], ["padded"], "pad"),
        node("MaxPool", ["padded"], ["pooled"], "pool", kernel_shape=[width, width], dilations=[dilation] * 2),
        node("Relu", ["pooled"], ["y"], "relu"),
    ]
    constants = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "border": np.float32(border)}
    graph = load_onnx(model(nodes, {"x": ("n", 3, 6, 6)}, constants))
    case = lowered(graph, "cpu-int8", {"x": RNG.normal(size=(8, 3, 6, 6))})
    x, got = case.plan.params("x").fake_quantize(case.x["x"]), case.program.run(case.x["x"])
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.float32(max(border, -1e9)))
    step = 1 if dilation == 1 else 2
    size = padded.shape[2] - step * (width - 1)
    offsets = range(0, step * width, step)
    want = np.max([padded[:, :, i : i + size, j : j + size] for i in offsets for j in offsets], axis=0)
    assert np.abs(got - np.maximum(want, 0)).max() <= 1.001 * float(case.plan.params("y").scale)
    assert float(case.plan.params("padded").scale) < 0.05, "the range is that of the data"
    assert ("saturates" in case.plan["padded"].why) == (border < 0)
    simulated = Simulator(case.graph, case.plan, device="cpu").run(case.x["x"])[0]
    assert np.abs(got - simulated).max() <= 1.001 * float(case.plan.params("y").scale)
