"""Costs: the sums that zero points of weights need, counted from the shapes of windows."""

from __future__ import annotations

import math

import numpy as np
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
