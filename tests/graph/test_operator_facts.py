"""Each row of the table of operators is true of what the operator computes."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from intaglio_tests.operator_nets import Booleans, Integers, model
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.graph.access import rank, shape
from intaglio.graph.batch import RULES
from intaglio.graph.bounds import bounds
from intaglio.graph.operators import OPERATORS, facts, named
from intaglio.graph.permute import PERMUTE, can_permute
from intaglio.ops import FLOAT_OPERATORS
from intaglio.ops.functions import FUNCTIONS, KNOWN_RANGES
from intaglio.simulate import Simulator

WITHOUT_A_ROW = {"Concat", "CumSum", "GRU", "LSTM", "RNN", "Resize"}
"""Operators whose rules about batch and axes stand alone, and that have no property of the table."""
SINGLE = [case for case in CASES if len(case.nodes) == 1]


def of_numbers(case: Case) -> bool:
    """Tell whether all inputs are real numbers, not indices or conditions."""
    return not any(isinstance(size, (Integers, Booleans)) for size in case.inputs.values())


BATCHED = [case for case in SINGLE if any("n" in size for size in case.inputs.values())]
IN_ANY_ORDER = [case for case in SINGLE if case.nodes[0].op_type in PERMUTE]
HOMOGENEOUS = [
    case
    for case in SINGLE
    if facts(case.nodes[0].op_type).homogeneous and "Pad" not in case.name and len(case.inputs) == 1
    if of_numbers(case)
]


def loaded(case: Case) -> Graph:
    return load_onnx(model(case.nodes, case.inputs, case.constants, case.outputs))


def real(graph: Graph, data: dict[str, np.ndarray]) -> list[np.ndarray]:
    found = Simulator(graph, device="cpu")({name: torch.as_tensor(x) for name, x in data.items()})
    return [value.numpy() for value in found.values()]


def test_every_operator_has_a_row() -> None:
    assert set(FLOAT_OPERATORS) - set(OPERATORS) == WITHOUT_A_ROW
    assert {name for name, row in OPERATORS.items() if row.function} >= set(FUNCTIONS)


def test_functions_with_a_known_range_come_close_to_both_ends() -> None:
    for name in sorted(KNOWN_RANGES):
        low, high = facts(name).range
        node = ir.node(name, [ir.val("x")])
        y = FUNCTIONS[name](node, torch.tensor([-10.0, 10.0]))
        assert float(y[0]) <= low + 0.1 * (high - low), name
        assert float(y[1]) >= high - 0.1 * (high - low), name


def test_rules_follow_from_the_rows() -> None:
    for name, row in OPERATORS.items():
        if row.elementwise or row.reduces or row.channels_first:
            assert name in RULES, name
        if row.elementwise or row.reduces:
            assert name in PERMUTE, name


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.name)
def test_results_lie_in_their_bounds(case: Case) -> None:
    graph = loaded(case)
    data = inputs_of(case, graph, 3)
    results = real(graph, data)
    row = facts(graph.nodes[-1].op_type)
    for value, y in zip(graph.outputs, results, strict=True):
        for low, high in (row.range, bounds(value)):
            assert y.size == 0 or (low <= float(y.min()) and float(y.max()) <= high), (low, high)
    if len(graph.nodes) > 1 or not of_numbers(case):
        return
    if (row.moves and graph.nodes[-1].op_type != "Pad") or row.averages or row.largest:
        x = next(iter(data.values()))
        for y in results:
            assert x.min() - 1e-5 <= y.min()
            assert y.max() <= x.max() + 1e-5
            assert not (row.moves or row.largest) or np.isin(y, [*np.unique(x), *np.unique(-x)]).all()


@pytest.mark.parametrize("case", BATCHED, ids=lambda case: case.name)
def test_samples_apart_are_samples_together(case: Case) -> None:
    graph = loaded(case)
    assert graph.batched
    data = inputs_of(case, graph, 4)
    together = real(graph, data)
    apart = [real(graph, {name: x[i : i + 1] for name, x in data.items()}) for i in range(4)]
    for k, y in enumerate(together):
        np.testing.assert_allclose(y, np.concatenate([part[k] for part in apart]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", IN_ANY_ORDER, ids=lambda case: case.name)
def test_a_permuted_node_gives_the_permuted_result(case: Case) -> None:
    graph = loaded(case)
    nodes = [node for node in graph.nodes if node.op_type in PERMUTE]
    if len(graph.nodes) != 1 or not nodes or not can_permute(nodes[0]):
        return  # this form keeps its order of axes
    data = inputs_of(case, graph, 1)
    want, full = real(graph, data), rank(nodes[0].outputs[0])
    if any(x.ndim != full for x in (*data.values(), *want)):
        return  # operands of several ranks
    compute = FLOAT_OPERATORS[nodes[0].op_type].real
    for perm in (tuple(reversed(range(full))), (*range(1, full), 0)):
        changed = graph.copy()
        node = changed.nodes[0]
        for value in (*changed.inputs, *node.outputs):
            value.shape = ir.Shape([shape(value)[axis] for axis in perm])
        assert PERMUTE[node.op_type](changed.model.graph, node, perm)
        operands = []
        for value in node.inputs:
            if value is None:
                operands.append(None)
            elif value.is_initializer():
                operands.append(torch.as_tensor(value.const_value.numpy()))
            else:
                operands.append(torch.as_tensor(np.ascontiguousarray(data[str(value.name)].transpose(perm))))
        found = compute(node, *operands)
        for y, got in zip(want, found if isinstance(found, tuple) else (found,), strict=True):
            np.testing.assert_allclose(got.numpy(), y.transpose(perm), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", HOMOGENEOUS, ids=lambda case: case.name)
def test_a_homogeneous_operator_scales_with_its_operand(case: Case) -> None:
    graph = loaded(case)
    data = inputs_of(case, graph, 2)
    for factor in (0.25, 8.0):
        scaled = {name: np.float32(factor) * x for name, x in data.items()}
        for a, b in zip(real(graph, scaled), real(graph, data), strict=True):
            np.testing.assert_allclose(a, np.float32(factor) * b, rtol=1e-5, atol=1e-6)


def test_an_operator_without_a_row_has_no_property() -> None:
    row = facts("NoSuchOperator")
    assert row.range == (-math.inf, math.inf)
    assert not any(v for name, v in vars(row).items() if name != "range")


def of_fact(fact: str) -> list[Case]:
    return [case for case in SINGLE if getattr(facts(case.nodes[0].op_type), fact)]


@pytest.mark.parametrize("case", of_fact("clamps"), ids=lambda case: case.name)
def test_a_clamp_keeps_what_lies_in_its_interval(case: Case) -> None:
    graph = loaded(case)
    data = inputs_of(case, graph, 2)
    (y,), x = real(graph, data), next(iter(data.values()))
    low, high = bounds(graph.outputs[0])
    np.testing.assert_array_equal(y, np.clip(x, np.float32(low), np.float32(high)))


@pytest.mark.parametrize("case", of_fact("reshapes"), ids=lambda case: case.name)
def test_a_reshape_keeps_elements_in_their_order(case: Case) -> None:
    graph = loaded(case)
    data = inputs_of(case, graph, 2)
    np.testing.assert_array_equal(real(graph, data)[0].ravel(), next(iter(data.values())).ravel())


@pytest.mark.parametrize("case", of_fact("extremum"), ids=lambda case: case.name)
def test_an_extremum_is_one_of_its_operands(case: Case) -> None:
    graph = loaded(case)
    data = inputs_of(case, graph, 2)
    (y,) = real(graph, data)
    operands = [*data.values(), *(value.const_value.numpy() for value in graph.initializers)]
    assert any(np.isclose(y, x).any() for x in operands)
    assert np.all(np.any([np.broadcast_to(x, y.shape) == y for x in operands], axis=0))


@pytest.mark.parametrize("name", sorted(named("commutative")))
def test_operands_of_a_commutative_operator_may_change_places(name: str) -> None:
    logic = name in ("And", "Or", "Xor")
    x, y = (np.random.default_rng(seed).integers(0, 2, 9) for seed in (1, 2))
    kind = TensorProto.BOOL if logic else TensorProto.FLOAT
    info = [helper.make_tensor_value_info(each, kind, [9]) for each in "xy"]
    out = helper.make_tensor_value_info("z", TensorProto.UNDEFINED, None)
    results = []
    for order in ("xy", "yx"):
        net = helper.make_graph([helper.make_node(name, list(order), ["z"])], "net", info, [out])
        run = ReferenceEvaluator(helper.make_model(net, opset_imports=[helper.make_opsetid("", 18)]))
        results.append(
            run.run(None, {"x": x.astype(bool if logic else np.float32), "y": y.astype(bool if logic else np.float32)})[
                0
            ]
        )
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    "case", [c for c in of_fact("affine") if len(c.inputs) == 1 and of_numbers(c)], ids=lambda case: case.name
)
def test_an_affine_operator_keeps_midpoints(case: Case) -> None:
    graph = loaded(case)
    (name, x), other = (
        next(iter(inputs_of(case, graph, 2).items())),
        next(iter(inputs_of(case, graph, 2).values()))[::-1],
    )
    first, second, middle = (real(graph, {name: z.copy()})[0] for z in (x, other, (x + other) / 2))
    np.testing.assert_allclose(middle, (first + second) / 2, rtol=1e-4, atol=1e-5)


def test_positions_and_biases_are_those_of_the_schemas() -> None:
    for name in OPERATORS:
        schema = onnx.defs.get_schema(name, 24) if onnx.defs.has(name) else None
        if schema is None:
            continue
        results = {str(kind) for kind in schema.outputs[0].types}
        assert facts(name).position == (results == {"tensor(int64)"} and name.startswith("Arg")), name
        if facts(name).product:
            third = schema.inputs[2].name if len(schema.inputs) > 2 else ""
            assert facts(name).biased == (third in ("B", "C")), name
