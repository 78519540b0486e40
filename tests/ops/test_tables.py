"""Functions of one quantized value: the simulation computes what the program does, and the Plan says how exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.lower import lower
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams
from intaglio.ops import FLOAT_OPERATORS, FloatOperator
from intaglio.plan import Format, Plan, Source, place
from intaglio.plan.unary_nodes import note_tables
from intaglio.simulate import Simulator
from intaglio.targets import load_target

Model = Callable[..., onnx.ModelProto]
UNARY = sorted(name for name, cls in FLOAT_OPERATORS.items() if cls.unary.__func__ is not FloatOperator.unary.__func__)
CONSTANTS = {"Pow": (-0.5,), "Clip": (-1.7, 2.3), "PRelu": (0.3,)}
TYPES = ((INT8, INT8), (INT16, INT16), (INT16, UINT8), (UINT8, INT16))
REACH = 8.0


def one_node(model: Model, op_type: str, then: str | None = None) -> Graph:
    constants = {f"c{i}": np.full((), c, np.float32) for i, c in enumerate(CONSTANTS.get(op_type, ()))}
    between = "between" if then else "y"
    nodes = [onnx.helper.make_node(op_type, ["x", *constants], [between], "node")]
    if then:
        nodes.append(onnx.helper.make_node(then, [between], ["y"], "then"))
    return load_onnx(model(nodes, {"x": ("n", 64)}, constants))


def planned(graph: Graph, target: str, x: IntType, y: IntType) -> Plan:
    """Symmetric input in [-8, 8), output in [-4, 4) or [0, 8)."""
    plan = place(graph, load_target(target))
    given, result = (plan[str(v.name)] for v in (graph.inputs[0], graph.outputs[0]))
    scheme = given.format.scheme
    for value, kind, reach in ((given, x, REACH), (result, y, REACH / 2)):
        zero_point = 0 if kind.signed or target == "power2-int8" else 1 << (kind.bits - 1) * (value is given)
        value.format, value.source, value.of = Format(kind, scheme), Source.OWN, ()
        factor = 1.0 if target == "power2-int8" else 0.93  # so that numbers do not lie on the grid by chance
        value.params = QuantParams(kind, 2 * reach * factor / (1 << kind.bits), zero_point)
    return plan


def every_code(params: QuantParams) -> np.ndarray:
    kind = params.type
    return params.dequantize(np.arange(kind.qmin, kind.qmax + 1).astype(kind.dtype)).reshape(-1, 64)


@pytest.mark.parametrize("target", ["cpu-int8", "power2-int8", "tflite-int8"])
@pytest.mark.parametrize("op_type", UNARY)
def test_simulation_computes_what_the_program_computes(op_type: str, target: str, model: Model) -> None:
    for then in (None, "Relu"):
        if then and op_type in ("Clip", "Relu", "Sign"):
            continue  # a clamp alone swallows no other one, and nothing is fused into a sign
        graph = one_node(model, op_type, then)
        for x, y in TYPES:
            plan = planned(graph, target, x, y)
            data = every_code(plan.params(graph.inputs[0].name))
            got = lower(graph, plan).run(data)
            want = Simulator(graph, plan, device="cpu").run(data)[0]
            assert np.array_equal(got, want), (then, x, y, int((got != want).sum()))


@pytest.mark.parametrize("target", ["cpu-int8", "power2-int8", "tflite-int8"])
@pytest.mark.parametrize("axis", [1, 2])
def test_simulation_computes_slopes_per_channel_as_the_program_does(axis: int, target: str, model: Model) -> None:
    """Halves and quarters: between grids of powers of two many results are ties."""
    slopes = np.resize(np.array([0.5, -0.25, 0.0, 0.3], np.float32), 16).reshape((16, 1) if axis == 1 else (16,))
    node = onnx.helper.make_node("PRelu", ["x", "slopes"], ["y"], "node")
    graph = load_onnx(model([node], {"x": ("n", 16, 16)}, {"slopes": slopes}))
    for x, y in TYPES:
        plan = planned(graph, target, x, y)
        data = np.resize(every_code(plan.params("x")), (256, 16, 16))
        got, want = lower(graph, plan).run(data), Simulator(graph, plan, device="cpu").run(data)[0]
        assert np.array_equal(got, want), (x, y, int((got != want).sum()))


@pytest.mark.parametrize("op_type", UNARY)
def test_tables_are_as_exact_as_the_plan_says(op_type: str, model: Model) -> None:
    """Near poles, kinks and jumps too; and no more than a step and a half off, whatever the function."""
    graph = one_node(model, op_type)
    for x, y in TYPES:
        plan = planned(graph, "cpu-int8", x, y)
        note_tables(graph, plan)
        table = plan.operators["node"].table
        if table is None:
            assert op_type in ("Clip", "Relu") or (x.bits > 8 and op_type in ("LeakyRelu", "PRelu"))
            continue
        bound = 0.5 + 1e-9 if x.bits <= 8 else 1.5 if y.bits > 8 else 0.625
        assert table.rms <= table.largest <= bound
        assert table.entries <= (1 << x.bits) + 1
        again = Plan.from_json(plan.to_json())
        assert again.operators["node"].table == table


def test_gradients_are_those_of_the_function(model: Model) -> None:
    """Inside the range; 0 outside, and where the function has none."""
    graph = one_node(model, "Log")
    plan = planned(graph, "cpu-int8", INT16, INT16)
    x = torch.as_tensor(every_code(plan.params("x"))).requires_grad_()
    simulator = Simulator(graph, plan, device="cpu")
    y = simulator({"x": x})["y"]
    y.sum().backward()
    assert np.array_equal(y.detach().numpy(), simulator.run(x.detach().numpy())[0])
    low, high = (float(bound) for bound in plan.params("y").range)
    data = x.detach().numpy()
    inside = (data > 0) & (np.log(np.maximum(data, 1e-9)) > low + 1e-3) & (np.log(np.maximum(data, 1e-9)) < high)
    np.testing.assert_allclose(x.grad.numpy()[inside], 1 / data[inside], rtol=1e-3)
    assert not x.grad.numpy()[data <= 0].any()


def test_numbers_that_are_none_stay(model: Model) -> None:
    graph = one_node(model, "Sigmoid")
    plan = planned(graph, "cpu-int8", INT8, INT8)
    y: Any = Simulator(graph, plan, device="cpu")({"x": torch.full((1, 64), torch.nan)})["y"]
    assert bool(y.isnan().all())
