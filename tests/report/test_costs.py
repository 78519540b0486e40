"""Costs: the sums that zero points of weights need, counted from the shapes of windows."""

from __future__ import annotations

import math

import numpy as np
import torch
from intaglio_tests.bit_exact import single_operator_program

import intaglio as ig
from intaglio.program.operators.conv2d import Conv2d
from intaglio.report.costs import cost_totals, operator_costs


def test_symmetric_weights_cost_no_sums(quantized: ig.Quantized) -> None:
    costs = operator_costs(quantized.lower())
    totals = cost_totals(costs)
    assert totals.macs == 8 * 8 * 4 * 27 + 4 * 5
    assert totals.input_sums == 0
    assert totals.folded == sum(bool(c.offline_terms) for c in costs)


def test_every_element_of_every_window_is_added_once() -> None:
    """Grouped and depthwise convolutions too: no channel is shared between groups."""
    seed, asymmetric = 0, 0
    for operator, inputs in Conv2d.samples(np.random.default_rng(seed)):
        assert isinstance(operator, Conv2d)
        program = single_operator_program(operator, inputs)
        (cost,) = operator_costs(program)
        _, height, width, _ = operator.weight.shape
        positions = math.prod(cost.output[:-1])
        added = positions * height * width * inputs[0].shape[-1]
        assert cost.input_sums == (added if operator.weight_zero_point.any() else 0), seed
        assert bool(cost.offline_terms) == bool(operator.x_zero_point)
        asymmetric += bool(operator.weight_zero_point.any())
    assert asymmetric > 3


def test_sums_have_the_bits_that_the_weights_prove(quantized: ig.Quantized) -> None:
    program = quantized.lower()
    for cost, node in zip(operator_costs(program), program.nodes, strict=True):
        shapes = tuple(program.tensors[name].shape for name in node.inputs)
        types = tuple(program.tensors[name].type for name in node.inputs)
        bound = node.operator.accumulator_bound(shapes, types)
        assert bound < 2 ** (cost.accumulator_bits - 1) or bound == cost.accumulator_bits == 0
        assert cost.accumulator_bits < 2 or bound >= 2 ** (cost.accumulator_bits - 2)
        assert cost.accumulator == (32 if bound else 0)


def test_wide_sums_are_held_in_64_bits() -> None:
    graph = ig.load(torch.nn.Linear(4096, 4), torch.zeros(1, 4096))
    x = np.random.default_rng(0).normal(size=(8, 4096)).astype(np.float32)
    program = ig.quantize(graph, x, "int16x8", calibrator="max", bias_correction=False, equalize=False).lower()
    cost = next(cost for cost in operator_costs(program) if cost.operator == "dense")
    assert 32 < cost.accumulator_bits <= 48
    assert cost.accumulator == 64
    assert cost.operand_bits == (16, 8)


def test_bytes_are_those_that_the_generated_code_stores() -> None:
    graph = ig.load(torch.nn.Conv2d(3, 8, 1), torch.zeros(1, 3, 4, 5))
    x = np.random.default_rng(0).normal(size=(8, 3, 4, 5)).astype(np.float32)
    program = ig.quantize(graph, x, "w4a8", calibrator="max", bias_correction=False, equalize=False).lower()
    cost = next(cost for cost in operator_costs(program) if cost.operator == "conv2d")
    assert cost.operand_bits == (8, 8)
    assert cost.elements == 4 * 5 * (3 + 8)
    assert cost.moved == 4 * 5 * 3 + 4 * 5 * 8 * np.dtype(program.tensors[program.outputs[0]].type.dtype).itemsize
    assert cost.parameter_elements >= 3 * 8 + 8
    assert cost.parameters >= 3 * 8 + 4 * 8
