"""Every float operator in many forms: `real` against ONNX Runtime, integers against `real`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch
from intaglio_tests.onnxruntime_session import session
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from numpy.typing import NDArray

from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.graph.time_loops import GATES
from intaglio.ops import FLOAT_OPERATORS
from intaglio.simulate import Simulator
from intaglio.targets import Target, load_target

Array = NDArray[Any]
GRAPHS: dict[str, Graph] = {}  # loaded once for all targets
TARGETS = ("cpu-int8", "int8-symmetric", "mcu-int8", "uint8-asymmetric", "power2-int8", "tflite-int8", "int16x8")


def target_of(activations: str, scheme: str, weights: str, rule: str = "half_up") -> Target:
    """A target with one format for activations and one for weights."""
    weight_scheme = scheme if scheme == "power_of_two" else "symmetric"
    return Target.model_validate(
        {
            "version": 1,
            "name": f"{activations}-{scheme}",
            "rule": rule,
            "accumulator": 64,
            "activations": [{"type": activations, "scheme": scheme}],
            "weights": [{"type": weights, "scheme": weight_scheme}],
        }
    )


# Formats that no built-in target has.
UNUSUAL = (
    target_of("uint4", "asymmetric", "int4n"),
    target_of("uint8", "power_of_two", "int8n", "shift"),
    target_of("uint16", "asymmetric", "int8n"),
    target_of("int16", "power_of_two", "int8n", "shift"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_real_matches_onnx_runtime(case: Case, model: Callable[..., onnx.ModelProto]) -> None:
    proto = model(case.nodes, case.inputs, case.constants, case.outputs)
    graph = load_onnx(proto)
    assert graph.batched == ("n" in next(iter(case.inputs.values())))
    data = inputs_of(case, graph, 3)
    if case.name == "Resize-sizes" and tuple(map(int, onnxruntime.__version__.split(".")[:2])) <= (1, 23):
        pytest.skip("needs an onnxruntime newer than 1.23, which takes no negative axes of Resize")
    want = session(proto).run(None, data)
    got = Simulator(graph, device="cpu").run(*data.values()) if graph.batched else run_once(graph, data)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def run_once(graph: Graph, data: Mapping[str, Array]) -> list[Array]:
    import torch

    result = Simulator(graph, device="cpu")({name: torch.as_tensor(x) for name, x in data.items()})
    return [value.numpy() for value in result.values()]


@pytest.mark.parametrize("target", [*map(load_target, TARGETS), *UNUSUAL], ids=lambda target: target.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_integers_follow_the_real_operator(case: Case, target: Target, model: Any, lowered: Any) -> None:
    graph = GRAPHS.get(case.name)
    if graph is None:
        graph = GRAPHS[case.name] = load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))
    lowered(graph, target, inputs_of(case, graph, 3)).check()


def test_every_operator_has_a_case() -> None:
    seen = {op_type for case in CASES for op_type in case.op_types} | set(GATES)  # these: `test_recurrent.py`
    assert set(FLOAT_OPERATORS) <= seen, sorted(set(FLOAT_OPERATORS) - seen)


def test_the_gradient_of_a_quotient_is_finite_where_the_divisor_is_0() -> None:
    dividend = torch.tensor([0.0, 1.0, -2.0, 3.0], requires_grad=True)
    divisor = torch.tensor([0.0, 0.0, 0.0, 4.0], requires_grad=True)
    quotient = FLOAT_OPERATORS["Div"].real(onnx_ir.node("Div", []), dividend, divisor)
    assert quotient.tolist() == [0.0, float("inf"), float("-inf"), 0.75]
    quotient.sum().backward()
    for found, last in ((dividend.grad, 0.25), (divisor.grad, -3 / 16)):
        assert found is not None
        assert bool(found.isfinite().all())
        assert found[3] == last
