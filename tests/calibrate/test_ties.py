"""Scales with which simulation in float32 and integers would round apart are moved."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from intaglio.calibrate import calibrate
from intaglio.calibrate.derive import derive
from intaglio.lower import lower
from intaglio.number import QuantParams
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
