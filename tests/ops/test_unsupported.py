"""What is not supported is refused by one error, before any work, that names operator, node and a way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends.onnx import load_onnx
from intaglio.plan import place
from intaglio.targets import load_target

Model = Callable[..., onnx.ModelProto]
IMAGE, FOUR_AXES = ("n", 4, 6, 6), ("n", 2, 2, 2, 2, 2)


def ones(*size: int) -> Any:
    return np.ones(size, np.float32)


def node(op_type: str, inputs: list[str], outputs: list[str] | None = None, **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(op_type, inputs, outputs or ["y"], "it", **attributes)


X: dict[str, Any] = {"x": IMAGE}
XZ: dict[str, Any] = {"x": IMAGE, "z": IMAGE}
V: dict[str, Any] = {"x": FOUR_AXES}


def scales(*values: float) -> dict[str, Any]:
    return {"s": np.array(values, np.float32)}


FORMS = {
    "conv over four axes": (node("Conv", ["x", "w"]), V, {"w": ones(3, 2, 1, 1, 1, 1)}, "1 to 3 spatial axes"),
    "max pool over four axes": (node("MaxPool", ["x"], kernel_shape=[2, 2, 2, 2]), V, {}, "1 to 3 spatial axes"),
    "average pool over four axes": (node("AveragePool", ["x"], kernel_shape=[2] * 4), V, {}, "1 to 3 spatial axes"),
    "division by zero": (node("Div", ["x", "c"]), X, {"c": np.zeros((4, 1, 1), np.float32)}, "zeros"),
    "divisors for every element": (node("Div", ["x", "c"]), X, {"c": ones(4, 6, 6)}, "reciprocals"),
    "power of two values": (node("Pow", ["x", "z"]), XZ, {}, "Log, Mul and Exp"),
    "powers per channel": (node("Pow", ["x", "c"]), X, {"c": ones(4, 1, 1)}, "constant number"),
    "maximum of two values": (node("Max", ["x", "z"]), XZ, {}, "Relu or Clip"),
    "minimum per element": (
        node("Min", ["x", "c"]),
        X,
        {"c": np.arange(144, dtype=np.float32).reshape(4, 6, 6)},
        "Relu or Clip",
    ),
    "computed slopes": (node("PRelu", ["x", "z"]), XZ, {}, "operand 'slope'"),
    "slopes along two axes": (node("PRelu", ["x", "c"]), X, {"c": ones(4, 6, 1)}, "one per channel"),
    "computed scale": (node("LayerNormalization", ["x", "z"]), {"x": ("n", 4), "z": ("n", 4)}, {}, "operand 'Scale'"),
    "cubic with antialias": (
        node("Resize", ["x", "", "s"], mode="cubic", antialias=1),
        X,
        scales(1, 1, 0.5, 0.5),
        "antialias 0",
    ),
    "antialias": (node("Resize", ["x", "", "s"], mode="linear", antialias=1), X, scales(1, 1, 0.5, 0.5), "antialias 0"),
    "a grid": (node("GridSample", ["x", "z"]), {"x": IMAGE, "z": ("n", 3, 3, 2)}, {}, "a constant grid"),
    "unknown operator": (node("Mod", ["x", "z"], fmod=1), XZ, {}, "intaglio inspect"),
    "another unknown operator": (node("Det", ["x"]), X, {}, "intaglio inspect"),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_is_refused(form: str, model: Model) -> None:
    made, inputs, constants, way_out = FORMS[form]
    graph = load_onnx(model([made], inputs, constants))
    with pytest.raises(UnsupportedOperatorError) as caught:
        place(graph, load_target("cpu-int8"))
    text = str(caught.value)
    assert made.op_type in text
    assert "'it'" in text
    assert way_out in text


@pytest.mark.parametrize(
    ("op_type", "outputs", "constants"),
    [("MaxPool", ["y", "i"], {}), ("LayerNormalization", ["y", "m"], {"c": ones(6)})],
)
def test_second_outputs_are_refused(op_type: str, outputs: list[str], constants: Any, model: Model) -> None:
    attributes = {"kernel_shape": [2, 2]} if op_type == "MaxPool" else {}
    made = node(op_type, ["x", *constants], outputs, **attributes)
    graph = load_onnx(model([made], {"x": IMAGE}, constants, outputs))
    with pytest.raises(UnsupportedOperatorError, match="expected one output"):
        place(graph, load_target("cpu-int8"))


def test_an_infinite_border_is_for_max_pools_only(model: Model) -> None:
    constants = {"pads": np.array([0, 1, 0, 1]), "border": np.array(-np.inf, np.float32)}
    graph = load_onnx(model([node("Pad", ["x", *constants])], {"x": (2, 4)}, constants))
    with pytest.raises(
        UnsupportedOperatorError, match=r"\[Pad 'it'\] expected a finite border, got -inf, which only max"
    ):
        place(graph, load_target("cpu-int8"))


def test_every_refused_node_is_listed(model: Model) -> None:
    nodes = [
        onnx.helper.make_node("Max", ["x", "z"], ["a"], "first"),
        onnx.helper.make_node("Pow", ["a", "z"], ["y"], "second"),
    ]
    with pytest.raises(UnsupportedOperatorError) as caught:
        place(load_onnx(model(nodes, {"x": IMAGE, "z": IMAGE})), load_target("cpu-int8"))
    assert "[Max 'first']" in str(caught.value)
    assert "[Pow 'second']" in str(caught.value)


def test_a_function_of_numbers_outside_its_domain_is_finite(model: Model, lowered: Any) -> None:
    """A symmetric grid has negative codes, which no square root of real data ever meets."""
    graph = load_onnx(model([node("Sqrt", ["x"])], {"x": ("n", 8)}))
    case = lowered(graph, "int8-symmetric", {"x": np.linspace(0, 4, 16).reshape(2, 8)})
    case.check()
    assert np.isfinite(case.program.run(np.full((1, 8), -1.0, np.float32))).all()
