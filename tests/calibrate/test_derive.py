"""Weights and biases: scales that biases ask for, dead channels, silent and constant values, underflow."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intaglio.calibrate import CALIBRATORS, calibrate
from intaglio.calibrate.parameters.derive import LARGEST_BIAS
from intaglio.errors import CalibrationError
from intaglio.frontends import load
from intaglio.lower import lower
from intaglio.number import INT32, PerChannel, PerGroup, PerTensor, QuantParams
from intaglio.ops import Role
from intaglio.plan import Format, Source
from intaglio.simulate import Simulator

TARGETS = ("cpu-int8", "int8-symmetric", "int8-per-tensor", "uint8-asymmetric", "power2-int8", "mcu-int8")


def params_of(plan, name: str) -> QuantParams:
    found = plan.params(name)
    assert found is not None
    return found


def is_power_of_two(scale: np.ndarray) -> bool:
    return bool((np.frexp(scale)[0] == 0.5).all())


def assert_runs(graph, plan, x: np.ndarray, steps: float = 2.0) -> None:
    """The integer program exists and is within some steps of the float network wherever that is in range."""
    (want,) = Simulator(graph).run(x)
    program = lower(graph, plan)
    got = program.run(x)
    got = got[0] if isinstance(got, tuple) else got
    out = params_of(plan, str(graph.outputs[0].name))
    low, high = (float(bound) for bound in out.range)
    assert np.abs(np.clip(want, low, high) - got).max() <= steps * float(out.scale)


@pytest.mark.parametrize("target", TARGETS)
def test_every_value_gets_parameters_of_its_format(small_net, placed, rows, rng, target: str) -> None:
    plan = placed(small_net, target)
    before = plan.to_json()
    x = rng.normal(size=(8, 3, 8, 8)).astype(np.float32)
    done = calibrate(small_net, plan, rows(x), calibrator="max").plan
    assert plan.to_json() == before  # the Plan that was given is left as it is
    for value in done.values.values():
        if value.source in (Source.FUSED, Source.PLAIN):
            assert value.params is None
            continue
        params = params_of(done, value.name)
        if value.source is Source.OWN and value.format is not None:
            assert (params.type, params.granularity) == (value.format.type, value.format.granularity)
            if target == "power2-int8":
                assert is_power_of_two(params.scale)
        if value.role is Role.BIAS:
            data, weight = (params_of(done, name) for name in value.of)
            assert params.type == INT32
            assert params.symmetric
            np.testing.assert_allclose(params.scale, data.scale * weight.scale, rtol=1e-6)
            assert isinstance(params.granularity, PerChannel if weight.scale.ndim else PerTensor)


def test_weights_have_the_granularity_of_their_format(conv_net, placed, rows, rng) -> None:
    w = (rng.normal(size=(6, 8, 3, 3)) * rng.uniform(0.1, 5, (6, 1, 1, 1))).astype(np.float32)
    graph, x_name, w_name, b_name = conv_net(w, rng.normal(size=6))
    x = rng.normal(size=(4, 8, 6, 6)).astype(np.float32)
    for granularity, largest in (
        (PerTensor(), np.abs(w).max()),
        (PerChannel(0), np.abs(w).max(axis=(1, 2, 3))),
        (PerChannel(1), np.abs(w).max(axis=(0, 2, 3))),
        (PerGroup(1, 4), np.abs(w).reshape(6, 2, 4, 3, 3).max(axis=2)),
    ):
        plan = placed(graph)
        fmt = plan[w_name].format
        assert fmt is not None
        plan[w_name].format = Format(fmt.type, fmt.scheme, granularity)
        if granularity == PerChannel(1):
            del plan.values[b_name]  # a scale per input channel has no common grid for a bias
        done = calibrate(graph, plan, rows(x), calibrator="max").plan
        np.testing.assert_allclose(params_of(done, w_name).scale, largest / 127, rtol=1e-6)
        if isinstance(granularity, PerGroup):
            finest = params_of(done, w_name).scale.min(axis=(1, 2, 3))
            want = finest * params_of(done, x_name).scale
            np.testing.assert_allclose(params_of(done, b_name).scale, want, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_the_weight_scale_is_raised_until_the_bias_fits(conv_net, placed, rows, rng, target: str) -> None:
    w = (rng.normal(size=(4, 3, 3, 3)) * 1e-6).astype(np.float32)
    bias = np.array([5e4, -0.1, 3e5, 1e-3])
    graph, x_name, w_name, b_name = conv_net(w, bias)
    plan = placed(graph, target)
    x = rng.normal(size=(4, 3, 6, 6)).astype(np.float32)
    done = calibrate(graph, plan, rows(x), calibrator="max").plan
    b = params_of(done, b_name)
    codes = np.rint(bias / b.scale.astype(float))
    assert np.abs(codes).max() <= LARGEST_BIAS * (1 + 1e-6)
    assert np.abs(codes).max() > LARGEST_BIAS / 2.1  # not further than needed
    np.testing.assert_allclose(b.scale, params_of(done, x_name).scale * params_of(done, w_name).scale, rtol=1e-6)
    assert "so that the bias fits int32" in done[w_name].why
    if target == "power2-int8":
        assert is_power_of_two(params_of(done, w_name).scale)
    if params_of(done, w_name).scale.ndim:
        assert "channels 0, 2 raised" in done[w_name].why
        # The others keep the scale of their own weights.
        np.testing.assert_allclose(params_of(done, w_name).scale[3], np.abs(w[3]).max() / 127, rtol=1e-2)
    assert_runs(graph, done, x)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("calibrator", ["max", "mse"])
def test_dead_channels_keep_their_bias(conv_net, placed, rows, rng, target: str, calibrator: str) -> None:
    w = (rng.normal(size=(5, 3, 3, 3)) * 0.1).astype(np.float32)
    w[[1, 3]] = 0
    bias = np.array([0.5, 1e-3, -0.25, 0.0, 0.1])
    graph, _, w_name, b_name = conv_net(w, bias)
    x = rng.normal(size=(4, 3, 6, 6)).astype(np.float32)
    plan = placed(graph, target)
    done = calibrate(graph, plan, rows(x), calibrator=calibrator, weight_calibrator=calibrator).plan
    scale = params_of(done, w_name).scale
    if scale.ndim:
        live = scale[[0, 2, 4]].max()
        assert scale[3] <= live
        assert "channels 1, 3 all zero" in done[w_name].why
        b = params_of(done, b_name).scale.astype(float)
        out = float(params_of(done, str(graph.outputs[0].name)).scale)
        assert abs(np.rint(bias[1] / b[1]) * b[1] - bias[1]) < 1e-3 * max(out, bias[1])
    assert_runs(graph, done, x)


def test_dead_channels_without_a_bias_have_the_largest_live_scale(conv_net, placed, rows, rng) -> None:
    w = rng.normal(size=(4, 3, 1, 1)).astype(np.float32)
    w[2] = 0
    graph, _, w_name = conv_net(w)
    x = rng.normal(size=(2, 3, 6, 6)).astype(np.float32)
    scale = params_of(calibrate(graph, placed(graph), rows(x), calibrator="max").plan, w_name).scale
    np.testing.assert_allclose(scale[[0, 1, 3]], np.abs(w[[0, 1, 3]]).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    assert scale[2] == scale.max()
    assert scale[2] == scale[[0, 1, 3]].max()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bias", [0.0, 0.3, -7e-4, 1e6])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_dead_layer_and_constant_inputs_are_defined(conv_net, placed, rows, rng, target, bias, value) -> None:
    graph, x_name, *_ = conv_net(np.zeros((4, 2, 1, 1)), np.full(4, bias))
    x = np.full((3, 2, 6, 6), value, np.float32)
    done = calibrate(graph, placed(graph, target), rows(x), calibrator="entropy", weight_calibrator="mse").plan
    assert f"it was always {value:g} in calibration" in done[x_name].why
    assert_runs(graph, done, x, steps=0.51)
    live = rng.normal(size=(4, 2, 1, 1))
    graph, *_ = conv_net(live, np.full(4, bias))
    done = calibrate(graph, placed(graph, target), rows(x), calibrator="percentile-99.9").plan
    assert_runs(graph, done, x)


@pytest.mark.parametrize("calibrator", list(CALIBRATORS))
@pytest.mark.parametrize("target", ["cpu-int8", "int8-symmetric"])
def test_constants_are_represented_exactly(conv_net, placed, rows, rng, target: str, calibrator: str) -> None:
    w = rng.normal(size=(3, 2, 1, 1)).astype(np.float32)
    w[1] = -0.377123
    graph, x_name, w_name, _ = conv_net(w, np.zeros(3))
    x = np.full((3, 2, 6, 6), 0.700013, np.float32)
    done = calibrate(graph, placed(graph, target), rows(x), calibrator=calibrator, weight_calibrator=calibrator).plan
    np.testing.assert_allclose(params_of(done, x_name).fake_quantize(x), x, rtol=2e-7)
    np.testing.assert_allclose(params_of(done, w_name).fake_quantize(w)[1], w[1], rtol=2e-7)


def test_a_value_that_is_always_zero_does_not_spoil_the_bias_behind_it(new_net, placed, rows, rng) -> None:
    net = new_net()
    x = net.input("x", ("n", 2, 4, 4))
    silent = net.op("Relu", net.op("Conv", x, net.normal(3, 2, 1, 1), np.float32([-90, -99, -95])))
    net.output(net.op("Conv", silent, net.normal(4, 3, 1, 1, scale=10.0), np.float32([1e-3, 2e-3, -1e-3, 3e-3])))
    graph = load(net.model())
    data = rng.normal(size=(4, 2, 4, 4)).astype(np.float32)
    for target in TARGETS:
        done = calibrate(graph, placed(graph, target), rows(data), calibrator="max").plan
        assert_runs(graph, done, data, steps=1.01)
        name = str(graph.nodes[1].outputs[0].name)
        assert "suits the biases behind it" in done[name].why


@pytest.mark.parametrize("scales", [(1e-30, 1e-20), (1e-38, 1e-38), (1e-20, 1.0), (1e20, 1e-30), (1.0, 1e18)])
@pytest.mark.parametrize("target", ["cpu-int8", "power2-int8"])
def test_scales_that_underflow_have_a_defined_answer(conv_net, placed, rows, rng, scales, target: str) -> None:
    of_x, of_w = scales
    w = (rng.uniform(0.5, 1, size=(2, 2, 1, 1)) * of_w).astype(np.float32)
    graph, _, _, b_name = conv_net(w, np.zeros(2))
    x = (rng.normal(size=(3, 2, 6, 6)) * of_x).astype(np.float32)
    done = calibrate(graph, placed(graph, target), rows(x), calibrator="max").plan
    if b_name in done.values:
        assert np.isfinite(params_of(done, b_name).scale).all()
    if of_x * of_w > 1e-37:
        assert_runs(graph, done, x)
    elif target == "cpu-int8":
        assert not lower(graph, done).run(x).any() or of_x * of_w > 1e-45


def test_an_output_far_below_the_steps_of_its_sums_gets_a_coarser_scale(conv_net, placed, rows) -> None:
    """x1 - x2 of equal channels, exact on every processor: the result is far below 2**-30 of the sums' step."""
    w = np.float32([[[[3e25]], [[-3e25]]]])
    graph, *_ = conv_net(w, np.float32([1e-9]))
    x = np.repeat(np.exp2(np.arange(-26, 10)).astype(np.float32).reshape(1, 1, 6, 6), 2, axis=1)
    done = calibrate(graph, placed(graph), rows(x), calibrator="max").plan
    y = graph.outputs[0].name
    assert "the steps of its sums are far larger" in done[str(y)].why
    lower(graph, done)


def test_grouped_transposed_convolutions_have_a_scale_per_channel_of_a_group(new_net, placed, rows, rng) -> None:
    net = new_net()
    x = net.input("x", ("n", 4, 5, 5))
    w = (rng.normal(size=(4, 3, 2, 2)) * [[[[0.1]], [[1.0]], [[5.0]]]]).astype(np.float32)
    bias = np.float32([0, 1, 2, 3e6, -1, 0])
    net.output(net.op("ConvTranspose", x, w, bias, group=2, strides=[2, 2]))
    graph = load(net.model())
    (node,) = graph.nodes
    w_name, b_name = (str(v.name) for v in node.inputs[1:])
    data = rng.normal(size=(4, 4, 5, 5)).astype(np.float32)
    plan = placed(graph)
    fmt = plan[w_name].format
    assert fmt is not None
    plan[w_name].format = Format(fmt.type, fmt.scheme, PerChannel(1))
    done = calibrate(graph, plan, rows(data), calibrator="max").plan
    weight, b = params_of(done, w_name), params_of(done, b_name)
    assert weight.scale.shape == (3,)
    np.testing.assert_allclose(b.scale, np.tile(weight.scale, 2) * params_of(done, "x").scale, rtol=1e-6)
    assert np.abs(bias / b.scale).max() <= LARGEST_BIAS * (1 + 1e-6)
    np.testing.assert_allclose(weight.scale[1:], np.abs(w).max(axis=(0, 2, 3))[1:] / 127, rtol=1e-6)
    assert "channel 0 raised" in done[w_name].why


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(conv_net, placed, rows, rng, bad: float) -> None:
    w = rng.normal(size=(2, 3, 1, 1)).astype(np.float32)
    graph, _, w_name, _ = conv_net(w, np.zeros(2))
    # A front end may refuse such a file before: set the weight behind its back.
    broken = w.copy()
    broken[1, 2] = bad
    value = graph.value(w_name)
    value.const_value = type(graph.value(w_name).const_value)(broken, name=w_name)
    with pytest.raises(CalibrationError, match="expected finite values, got"):
        calibrate(graph, placed(graph), rows(np.zeros((1, 3, 6, 6), np.float32)), calibrator="max")


def test_calibrating_twice_says_everything_once(conv_net, placed, rows, rng) -> None:
    w = (rng.normal(size=(4, 3, 3, 3)) * 1e-6).astype(np.float32)
    w[1] = 0
    graph, _, w_name, _ = conv_net(w, np.array([5e4, -0.1, 3e5, 1e-3]))
    x = rows(np.full((1, 3, 6, 6), 0.5, np.float32))
    once = calibrate(graph, placed(graph), x, calibrator="max").plan
    twice = calibrate(graph, once, x, calibrator="max").plan
    assert twice.to_json() == once.to_json()
    assert math.isfinite(float(twice.params(w_name).scale.sum()))  # type: ignore[union-attr]
