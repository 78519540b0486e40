"""Each row of the table of operators is true of what the operator computes."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest
import torch
from intaglio_tests.operator_cases import CASES, Case, inputs_of
from intaglio_tests.operator_nets import model

from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.graph.access import rank, shape
from intaglio.graph.batch import RULES
from intaglio.graph.bounds import bounds
from intaglio.graph.operators import OPERATORS, facts
from intaglio.graph.permute import PERMUTE, can_permute
from intaglio.ops import FLOAT_OPERATORS
from intaglio.ops.functions import FUNCTIONS, KNOWN_RANGES
from intaglio.simulate import Simulator

WITHOUT_A_ROW = {"Concat", "LayerNormalization", "Resize"}
"""Operators whose rules about batch and axes stand alone, and that have no property of the table."""
SINGLE = [case for case in CASES if len(case.nodes) == 1]


BATCHED = [case for case in SINGLE if any("n" in size for size in case.inputs.values())]
IN_ANY_ORDER = [case for case in SINGLE if case.nodes[0].op_type in PERMUTE]
HOMOGENEOUS = [
    case
    for case in SINGLE
    if facts(case.nodes[0].op_type).homogeneous and "Pad" not in case.name and len(case.inputs) == 1
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
    if len(graph.nodes) > 1:
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
