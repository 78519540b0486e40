"""Operators that ONNX Runtime's optimizer fuses are written with ONNX's own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net
from intaglio_tests.onnxruntime_session import session

from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends import load
from intaglio.frontends.contrib_operators import EXPANSIONS
from intaglio.simulate import Simulator

MS = "com.microsoft"
rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def network(op_type: str, form: int) -> onnx.ModelProto | None:
    """A network with the operator in one of its forms."""
    net = Net(opset=17)
    if op_type == "FusedConv":
        x = net.input("x", (1, 3, 8, 8))
        more = {"activation": ["Relu", "Clip", "LeakyRelu"][form]}
        if form:
            more["activation_params"] = [[0.0, 0.0], [0.0, 6.0], [0.1]][form]
        y = net.op(op_type, x, normal(3, 3, 3, 3), normal(3), *([x] * (form == 2)), domain=MS, pads=[1] * 4, **more)
        return net.output(y).model()
    x = net.input("x", (1, 5, 8) if op_type != "FusedGemm" else (1, 8))
    operands, more = {
        "BiasGelu": ([normal(8)], {}),
        "FastGelu": ([[], [normal(8)], []][form], {}),
        "Gelu": ([], {}),
        "QuickGelu": ([], {"alpha": [1.0, 1.702, 2.0][form]}),
        "FusedMatMul": (
            [normal(1, *[(8, 6), (6, 8), (6, 8)][form])],
            {"transB": int(form > 0), "alpha": [1.0, 0.5, 1.0][form]},
        ),
        "FusedGemm": ([normal(6, 8), normal(6)], {"transB": 1, "activation": ["Relu", "LeakyRelu", "Tanh"][form]}),
        "SimplifiedLayerNormalization": ([normal(8)], {"epsilon": 1e-5}),
        "SkipLayerNormalization": (
            [normal(1, 5, 8), normal(8), normal(8), *([normal(8)] * (form == 1))],
            {"epsilon": 1e-5},
        ),
        "SkipSimplifiedLayerNormalization": (
            [normal(1, 5, 8), normal(8), *([normal(8)] * (form == 1))],
            {"epsilon": 1e-5},
        ),
    }[op_type]
    if op_type == "FusedGemm" and form == 1:
        more["activation_alpha"] = 0.2
    domain = "" if op_type == "SimplifiedLayerNormalization" else MS
    y = net.op(op_type, x, *operands, domain=domain, **more)
    return net.output(y).model()


@pytest.mark.parametrize("form", range(3))
@pytest.mark.parametrize("op_type", EXPANSIONS)
def test_fused_operators_compute_what_onnx_runtime_does(op_type: str, form: int) -> None:
    proto = network(op_type, form)
    if not any(item.domain == MS for item in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid(MS, 1))
    graph = load(proto)
    x = normal(*graph.inputs[0].shape.numpy())
    (want,) = session(proto).run(None, {"x": x})
    (got,) = Simulator(graph, device="cpu").run(x)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_the_sum_of_a_skip_normalization_may_be_read() -> None:
    net = Net(opset=17)
    x = net.input("x", (1, 5, 8))
    y = net.op("SkipLayerNormalization", x, normal(1, 5, 8), normal(8), normal(8), outputs=4, domain=MS, epsilon=1e-5)
    net.nodes[-1].output[1] = net.nodes[-1].output[2] = ""
    proto = net.output(y[0], y[3]).model()
    proto.opset_import.append(onnx.helper.make_opsetid(MS, 1))
    want = session(proto).run(None, {"x": normal(1, 5, 8)})
    graph = load(proto)
    assert [value.name for value in graph.outputs] == [value.name for value in proto.graph.output]
    for left, right in zip(Simulator(graph, device="cpu").run(normal(1, 5, 8)), want, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-5)


def test_other_operators_of_the_domain_are_refused_by_name() -> None:
    net = Net(opset=17)
    proto = net.output(net.op("Inverse", net.input("x", (1, 4, 4)), domain=MS, name="inverse")).model()
    proto.opset_import.append(onnx.helper.make_opsetid(MS, 1))
    with pytest.raises(
        UnsupportedOperatorError, match=r"\[com.microsoft.Inverse 'node_inverse'\].*lower optimization level"
    ):
        load(proto)


def test_a_transposed_vector_is_a_vector() -> None:
    net = Net(opset=17)
    x = net.input("x", (1, 5, 8))
    model = net.output(net.op("FusedMatMul", x, normal(8), domain=MS, transB=1)).model()
    data = normal(1, 5, 8)
    (got,) = Simulator(load(model), device="cpu").run(data)
    np.testing.assert_allclose(got, session(model).run(None, {"x": data})[0], rtol=1e-5, atol=1e-6)


def test_fused_matmul_of_a_value_and_its_own_transpose() -> None:
    net = Net(opset=18)
    x = net.input("x", (2, 3, 4))
    model = net.output(net.op("FusedMatMul", x, x, domain=MS, transB=1)).model()
    data = normal(2, 3, 4)
    (got,) = Simulator(load(model), device="cpu").run(data)
    np.testing.assert_allclose(got, session(model).run(None, {"x": data})[0], rtol=1e-5, atol=1e-6)
