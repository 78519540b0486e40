"""Scales with which simulation in float32 and integers would round apart are moved."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from intaglio.calibrate import calibrate
from intaglio.calibrate.parameters.derive import derive
from intaglio.frontends import load
from intaglio.lower import lower
from intaglio.number import QuantParams
from intaglio.number.types import IntType
from intaglio.simulate import Simulator


def params_of(plan, name: str) -> QuantParams:
    found = plan.params(name)
    assert found is not None
    return found


def set_scale(plan, name: str, scale) -> None:
    plan[name].params = dataclasses.replace(params_of(plan, name), scale=np.float32(scale))


@pytest.mark.parametrize("factor", [7 / 8, 5 / 6, 0.3])
def test_products_that_tie_by_a_hair_are_moved_off_it(conv_net, placed, rows, rng, factor: float) -> None:
    """Equal steps in and out, weights of 7/8: every eighth sum is a tie, for integers exactly, in float32 by chance."""
    codes = rng.integers(-2, 3, size=(2, 8, 1, 1))
    graph, x_name, w_name = conv_net((codes * factor).astype(np.float32))
    y_name = str(graph.outputs[0].name)
    x = (rng.integers(-15, 16, size=(64, 8, 6, 6)) * np.float32(0.1)).astype(np.float32)
    plan = calibrate(graph, placed(graph, "int8-symmetric"), rows(x), calibrator="max").plan

    def disagreeing() -> int:
        return int((Simulator(graph, plan).run(x)[0] != lower(graph, plan).run(x)).sum())

    for name, scale in ((x_name, 0.1), (y_name, 0.1), (w_name, [factor, 0.871234])):
        plan[name].params = dataclasses.replace(params_of(plan, name), scale=np.float32(scale))
    assert disagreeing() > 10
    derive(graph, plan)
    assert disagreeing() == 0
    moved = params_of(plan, w_name).scale
    assert moved[0] == pytest.approx(factor * (1 + 2.0**-14), rel=1e-6)
    assert moved[1] == np.float32(0.871234)
    assert "of channel 0 raised by 0.006 %" in plan[w_name].why
    before = plan.to_json()
    derive(graph, plan)
    assert plan.to_json() == before
    for name in (x_name, y_name):  # powers of two tie exactly, and alike
        plan[name].params = dataclasses.replace(params_of(plan, name), scale=np.float32(0.125))
    plan[w_name].params = dataclasses.replace(params_of(plan, w_name), scale=np.float32([0.25, 0.5]))
    derive(graph, plan)
    assert params_of(plan, w_name).scale.tolist() == [0.25, 0.5]
    assert disagreeing() == 0


@pytest.fixture
def summed(new_net, placed, rows):
    """a + b or a - b beside a value of 4 bits, with data that are every pair of codes."""

    def make(op_type: str, scales: tuple[float, float, float], *, bits: int = 4):
        net = new_net()
        a, b, c = (net.input(name, ("n", 256)) for name in "abc")
        net.output(net.op(op_type, a, b, name="sum"))
        net.output(net.op("Relu", c, name="beside"))
        graph = load(net.model())
        codes = np.arange(-128, 128, dtype=np.float32)
        x = [np.repeat(codes[:, None], 256, 1) * np.float32(scales[0]), np.repeat(codes[None], 256, 0) * scales[1]]
        x = [array.astype(np.float32) for array in (*x, x[0])]
        plan = calibrate(graph, placed(graph, "int8-symmetric"), rows(*x), calibrator="max").plan
        for name, scale in zip(("a", "b", str(graph.outputs[0].name)), scales, strict=True):
            set_scale(plan, name, scale)
        types = (IntType(8), IntType(bits), IntType(bits))
        for name, kind in zip((*(str(v.name) for v in graph.outputs), "c"), types, strict=True):
            plan[name].params = dataclasses.replace(params_of(plan, name), type=kind)
        return graph, plan, x

    return make


def disagreeing(graph, plan, x) -> int:
    return int((Simulator(graph, plan).run(*x)[0] != lower(graph, plan).run(*x)[0]).sum())


SCALES = (0.02931652031838894, 0.020155206322669983, 0.031249599531292915)
"""Of a trained residual network of 2 bits: 10 a + 56 b = 45.4999993 y, a pair that one pixel in 4,000 had."""


@pytest.mark.parametrize("op_type", ["Add", "Sub"])
def test_pairs_of_codes_that_tie_by_a_hair_are_moved_off_it(summed, op_type: str) -> None:
    graph, plan, x = summed(op_type, SCALES)
    assert disagreeing(graph, plan, x) > 0
    derive(graph, plan)
    assert disagreeing(graph, plan, x) == 0
    name = str(graph.outputs[0].name)
    assert params_of(plan, name).scale == pytest.approx(SCALES[2], rel=1e-4)
    assert "half way between two codes" in plan[name].why
    before = plan.to_json()
    derive(graph, plan)
    assert plan.to_json() == before


def test_no_pair_of_random_scales_disagrees(summed, rng) -> None:
    before = after = 0
    for _ in range(100):
        scales = tuple(rng.uniform(0.01, 0.04, size=3))
        graph, plan, x = summed("Add", scales)
        before += disagreeing(graph, plan, x)
        derive(graph, plan)
        after += disagreeing(graph, plan, x)
    assert before > 0
    assert after == 0


@pytest.mark.parametrize(("scales", "bits"), [(SCALES, 8), ((0.25, 0.125, 0.5), 4)])
def test_sums_beside_8_bits_or_of_powers_of_two_stay(summed, scales, bits: int) -> None:
    graph, plan, _ = summed("Add", scales, bits=bits)
    before = plan.to_json()
    derive(graph, plan)
    assert plan.to_json() == before


def test_scales_with_which_every_other_sum_ties_are_moved_off_it(summed) -> None:
    graph, plan, x = summed("Add", (0.03, 0.03, 0.06))
    derive(graph, plan)
    assert disagreeing(graph, plan, x) == 0
    assert params_of(plan, str(graph.outputs[0].name)).scale == pytest.approx(0.06, rel=1e-4)
