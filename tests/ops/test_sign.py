"""Sign: a table, or one bit where the target has it; behind a product, the sign of the accumulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from intaglio.errors import ProgramError, TargetError
from intaglio.frontends import load_onnx, prepare
from intaglio.number import BIPOLAR, Rule
from intaglio.ops import float_operator
from intaglio.plan import Source
from intaglio.targets import Target, load_target

Model = Callable[..., onnx.ModelProto]
IMAGE = ("n", 4, 6, 6)


def node(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(op_type, inputs, outputs, outputs[0], **attributes)


def with_signs(rule: Rule, **changes: Any) -> Target:
    """A target of this rule with signs in one bit."""
    base = {Rule.TFLITE: "tflite-int8", Rule.SHIFT: "power2-int8"}.get(rule, "binary")
    data = {**load_target(base).model_dump(), "rule": rule}
    scheme = "power_of_two" if rule is Rule.SHIFT else "symmetric"
    data["operators"] = {"Sign": {"activations": [{"type": "bipolar", "scheme": scheme}]}}
    return Target.model_validate({**data, "layers": {}, **changes})


def test_real_is_that_of_onnx() -> None:
    made = load_onnx(
        onnx.helper.make_model(
            onnx.helper.make_graph(
                [node("Sign", ["x"], ["y"])],
                "g",
                [onnx.helper.make_tensor_value_info("x", 1, (5,))],
                [onnx.helper.make_tensor_value_info("y", 1, (5,))],
            ),
            opset_imports=[onnx.helper.make_opsetid("", 24)],
        )
    ).nodes[0]
    x = torch.tensor([-3.0, -0.0, 0.0, 1e-30, 2.0])
    assert torch.equal(float_operator(made).real(made, x), torch.tensor([-1.0, 0.0, 0.0, 1.0, 1.0]))


@pytest.mark.parametrize("target", ["cpu-int8", "tflite-int8"])
def test_elsewhere_it_is_a_table_with_three_values(target: str, model: Model, lowered: Any) -> None:
    graph = load_onnx(model([node("Sign", ["x"], ["y"])], {"x": IMAGE}))
    x = np.random.default_rng(0).normal(size=(8, 4, 6, 6)).astype(np.float32)
    x[0] = 0
    case = lowered(graph, target, {"x": x})
    case.check()
    assert "lut" in case.kinds()
    assert set(np.unique(np.round(case.program.run(x), 2))) == {-1, 0, 1}


def chain(op: str, rng: np.random.Generator, model: Model) -> onnx.ModelProto:
    """`op` and the sign of its result, and a convolution that pads the signs with 0."""
    w = {"Conv": (4, 4, 3, 3), "ConvTranspose": (4, 4, 2, 2)}.get(op)
    small = rng.integers(-1, 2, w or (1,)).astype(np.float32)
    constants = {"w": small, "v": rng.normal(size=(3, 4, 3, 3)).astype(np.float32)}
    before = {
        "Conv": [node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1])],
        "ConvTranspose": [node("ConvTranspose", ["x", "w"], ["a"], strides=[2, 2])],
        "Add": [node("Add", ["x", "x"], ["a"])],
        "MaxPool": [node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2])],
        "BatchNormalization": [
            node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
            node("BatchNormalization", ["p", "gain", "offset", "mean", "variance"], ["a"]),
        ],
    }[op]
    if op == "BatchNormalization":
        constants |= {
            name: (rng.uniform(0.5, 2, 4) * sign).astype(np.float32)
            for name, sign in (
                ("gain", [1, -1, 1, 1]),
                ("offset", [1, 1, -1, 0]),
                ("mean", [0, 1, -1, 1]),
                ("variance", 1),
            )
        }
    nodes = [*before, node("Sign", ["a"], ["s"]), node("Conv", ["s", "v"], ["y"], pads=[1, 1, 1, 1])]
    return model(nodes, {"x": IMAGE}, {k: v for k, v in constants.items() if k != "w" or w})


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Add", "MaxPool", "BatchNormalization"])
def test_one_bit_is_the_sign_of_what_was_computed(
    op: str, rule: Rule, model: Model, lowered: Any, rng: np.random.Generator
) -> None:
    """The oracle: signs of the real operator on the program's own inputs, +1 for 0; whole numbers, so 0 is frequent."""
    graph = prepare(load_onnx(chain(op, rng, model)))
    x = rng.integers(-4, 5, (8, 4, 6, 6)).astype(np.float32)
    x[0, 0, 0, :2] = [-127.0 if rule is Rule.SHIFT else -128.0, 127.0]  # one step of the input is 1
    case = lowered(graph, with_signs(rule), {"x": x})
    (sign,) = (info for info in case.program.tensors.values() if info.type == BIPOLAR and info.graph_name == "s")
    fused = case.plan["a"].source is Source.FUSED
    assert fused == (op in ("Conv", "ConvTranspose", "BatchNormalization"))
    traced = case.program.trace_real(x)
    (made,) = (n for n in case.graph.nodes if n.op_type == "Sign")
    producer = made.inputs[0].producer()
    constants = {}
    for value in producer.inputs[1:] if fused else []:
        array, params = value.const_value.numpy(), case.plan.values.get(str(value.name))
        constants[str(value.name)] = (
            array if params is None or params.params is None else params.params.fake_quantize(array)
        )
    if fused:
        first = torch.as_tensor(traced[str(producer.inputs[0].name)]).double()
        rest = [torch.as_tensor(constants[str(v.name)]).double() for v in producer.inputs[1:]]
        real = float_operator(producer).real(producer, first, *rest).numpy()
    else:
        real = traced["a"]
    noise = 1e-6 + 0.01 * (op == "BatchNormalization") * np.abs(real).max()  # its gain and offset are rounded too
    want = np.where(real >= -1e-6, 1, -1)
    got = traced["s"]
    assert got.shape == want.shape and set(np.unique(got)) == {-1, 1}
    assert np.array_equal(got[np.abs(real) > noise], want[np.abs(real) > noise])
    if op != "BatchNormalization":
        assert np.array_equal(got, want)
        assert (np.abs(real) < 1e-6).sum() > 10, "zeros are what this test is about"
    assert sign.params.zero_point == 0 and float(sign.params.scale) == 1


def test_a_table_over_signs_has_an_entry_for_each(model: Model, lowered: Any) -> None:
    nodes = [node("Sign", ["x"], ["s"]), node("Sigmoid", ["s"], ["y"])]
    x = np.random.default_rng(0).normal(size=(4, 4, 6, 6)).astype(np.float32)
    case = lowered(load_onnx(model(nodes, {"x": IMAGE})), with_signs(Rule.HALF_UP), {"x": x})
    assert case.kinds().count("lut") == 1
    case.check()


def test_a_softmax_over_signs_is_refused(model: Model, lowered: Any) -> None:
    """Its tables go by differences, and that of -1 and +1 needs two bits."""
    nodes = [node("Sign", ["x"], ["s"]), node("Softmax", ["s"], ["y"], axis=-1)]
    x = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    with pytest.raises(ProgramError, match="expected a type with consecutive codes, got bipolar"):
        lowered(load_onnx(model(nodes, {"x": ("n", 7)})), with_signs(Rule.HALF_UP), {"x": x})


@pytest.mark.parametrize(
    "changes",
    [
        {"activations": [{"type": "bipolar", "scheme": "symmetric"}]},
        {"products": {"type": "bipolar", "scheme": "symmetric"}},
        {"final": {"type": "bipolar", "scheme": "symmetric"}},
        {"operators": {"Relu": {"activations": [{"type": "bipolar", "scheme": "symmetric"}]}}},
    ],
)
def test_only_signs_are_written_in_one_bipolar_bit(changes: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="type bipolar: expected for weights, or in operators.Sign.activations"):
        with_signs(Rule.HALF_UP, **changes)
    path = tmp_path / "t.toml"
    path.write_text(
        'version = 1\nname = "t"\n[[activations]]\ntype = "bipolar"\nscheme = "asymmetric"\n'
        '[[weights]]\ntype = "bipolar"\nscheme = "symmetric"\n'
    )
    with pytest.raises(TargetError, match="type bipolar: expected scheme symmetric or power_of_two, got asymmetric"):
        load_target(path)
