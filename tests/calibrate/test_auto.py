"""`auto` takes what is better than the default beyond doubt, and says so; the driver's other ways round it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from intaglio.calibrate import CALIBRATORS, Calibration, Candidate, calibrate
from intaglio.calibrate.automatic import (
    ACTIVATION_CANDIDATES,
    HELD_SAMPLES,
    LEAST_GAIN,
    WEIGHT_CANDIDATES,
    _best,
    automatic,
    default_first,
)
from intaglio.errors import CalibrationError, UsageError
from intaglio.evaluation.trial import watched_values
from intaglio.frontends import load
from intaglio.number import IntType, Scheme
from intaglio.ops import Role
from intaglio.plan import Format
from intaglio.simulate import Simulator


@pytest.fixture
def saturating(new_net):
    """Two convolutions with a clamp between; what is large at the input is cut off by it."""
    net = new_net()
    x = net.input("x", ("n", 2, 8, 8))
    eye = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
    a = net.op("Clip", net.op("Conv", x, eye), np.float32(-2), np.float32(2))
    net.output(net.op("Conv", a, net.normal(3, 2, 3, 3)))
    return load(net.model())


def spiky(rng: np.random.Generator, n: int, share: float, size: float) -> np.ndarray:
    """Normal data with some far outliers in every sample."""
    x = rng.normal(size=(n, 2, 8, 8))
    return np.where(rng.random(x.shape) < share, size * np.sign(x), x).astype(np.float32)


def test_a_planted_winner_is_found(saturating, placed, rows, rng) -> None:
    """1 % outliers, 500 times as large as the rest and cut off by a clamp: only a range without them is any good."""
    x = spiky(rng, 64, 0.01, 500.0)
    done = calibrate(saturating, placed(saturating), rows(x), calibrator="auto")
    by_name = {c.calibrator: c.sqnr for c in done.candidates if c.weight_calibrator == "max"}
    plan, candidates, _ = automatic(
        saturating, placed(saturating), rows(x), calibrators=("max", "percentile-98", "percentile-99.9")
    )
    assert [c.chosen for c in candidates] == [True] + [False] * (len(candidates) - 1)
    assert candidates[0].calibrator == "percentile-98"
    assert float(plan.params("x").scale) < 0.05  # type: ignore[union-attr]
    assert by_name["max"] < 10 < candidates[0].sqnr
    # The candidates that people have by name find the same or nearly so.
    assert done.candidates[0].sqnr > by_name["max"]


def test_where_nothing_may_be_clipped_max_is_at_least_as_good(new_net, placed, rows, rng) -> None:
    net = new_net()
    net.output(net.op("Conv", net.input("x", ("n", 2, 8, 8)), net.normal(3, 2, 1, 1)))
    graph = load(net.model())
    x = spiky(rng, 40, 0.004, 30.0)  # the outliers are the signal
    _, candidates, _ = automatic(graph, placed(graph), rows(x), calibrators=("percentile-99", "max", "sigma-2"))
    assert candidates[0].calibrator == "max"


def test_weights_are_chosen_too(new_net, placed, rows, rng) -> None:
    """A 3-bit weight with one outlier per channel that meets no signal: max spends its codes on it."""
    net = new_net()
    w = net.normal(4, 64)
    w[:, 0] = 30
    net.output(net.op("MatMul", net.input("x", ("n", 64)), w.T.copy()))
    graph = load(net.model())
    x = rng.normal(size=(48, 64)).astype(np.float32)
    x[:, 0] = 0
    plan = placed(graph)
    for value in plan.calibrated(Role.WEIGHT):
        assert value.format is not None
        value.format = Format(IntType(3, narrow=True), Scheme.SYMMETRIC, value.format.granularity)
    done = calibrate(graph, plan, rows(x), calibrator="max", weight_calibrator="auto")
    assert {c.weight_calibrator for c in done.candidates} == set(WEIGHT_CANDIDATES)
    assert {c.calibrator for c in done.candidates} == {"max"}
    best, worst = done.candidates
    assert best.sqnr >= worst.sqnr
    for value in done.plan.calibrated(Role.WEIGHT):
        assert value.calibrator == best.weight_calibrator


def test_the_report_lists_every_candidate_and_the_choice(small_net, placed, rows, rng) -> None:
    x = rng.normal(size=(40, 3, 8, 8)).astype(np.float32)
    done = calibrate(small_net, placed(small_net), rows(x), calibrator="auto")
    assert isinstance(done, Calibration)
    assert {c.calibrator for c in done.candidates} == set(ACTIVATION_CANDIDATES)
    assert set(ACTIVATION_CANDIDATES) <= set(CALIBRATORS)
    assert [c.chosen for c in done.candidates].count(True) == 1
    best = done.candidates[0]
    assert best.chosen
    assert best.samples == 10  # a quarter
    assert all(math.isfinite(c.sqnr) for c in done.candidates)
    (default,) = (c for c in done.candidates if (c.calibrator, c.weight_calibrator) == ("max", "max"))
    assert best.sqnr >= default.sqnr
    text = " ".join(map(str, done.steps))
    assert f"activations by {best.calibrator} and weights by {best.weight_calibrator}" in text
    assert (
        f"another than the default is taken where it gains {LEAST_GAIN} dB, and more than the gain's uncertain" in text
    )
    assert "on 10 held-back samples" in text
    assert all(c.calibrator in text for c in done.candidates)
    assert done.statistics.samples == 40  # in the end, all of them
    assert done.plan["x"].calibrator == best.calibrator
    assert f"{best.sqnr:.2f} dB" in str(best)


@pytest.mark.parametrize("samples", [4, 16, 64])
def test_the_default_stays_where_others_are_better_by_chance(small_net, placed, rows, rng, samples: int) -> None:
    """Uniform data fill any range: what the calibrators reach differs by nothing but rounding."""
    x = rng.uniform(-1, 1, size=(samples, 3, 8, 8)).astype(np.float32)
    names = ("percentile-99.9999", "max", "percentile-99.99999", "percentile-99.999999")
    _, candidates, _ = automatic(small_net, placed(small_net), rows(x), calibrators=names, weight_calibrators=("max",))
    assert candidates[0].calibrator == "max"
    assert (candidates[0].gain, candidates[0].uncertainty) == (0, 0)


@pytest.mark.parametrize(
    ("gain", "uncertainty", "taken"),
    [(LEAST_GAIN, 0.1, False), (LEAST_GAIN + 0.01, 0.1, True), (2.0, 2.0, False), (2.01, 2.0, True)],
)
def test_a_gain_has_to_exceed_the_least_one_and_its_own_uncertainty(
    gain: float, uncertainty: float, taken: bool
) -> None:
    default, other, third = (None, None), ("mse", None), ("entropy", None)
    candidates = {
        default: Candidate("max", "max", 30.0, 16),
        third: Candidate("entropy", "max", 30.4, 16, gain=0.4, uncertainty=0.1),
        other: Candidate("mse", "max", 30.0 + gain, 16, gain=gain, uncertainty=uncertainty),
    }
    assert _best(default, candidates) == (other if taken else default)
    better = {**candidates, third: Candidate("entropy", "max", 40.0, 16, gain=10.0, uncertainty=0.1)}
    assert _best(default, better) == third, "of several the one with the highest SQNR"


def test_a_gain_on_a_single_held_back_sample_does_not_count(saturating, placed, rows, rng) -> None:
    """A single sample does not tell how much the others would differ."""
    for n, winner in ((4, "max"), (32, "percentile-98")):
        x = spiky(rng, n, 0.01, 500.0)
        _, candidates, _ = automatic(saturating, placed(saturating), rows(x), calibrators=("max", "percentile-98"))
        assert candidates[0].calibrator == winner
        assert any(math.isinf(c.uncertainty) for c in candidates) == (n == 4)


def test_the_targets_own_calibrator_is_the_default(small_net, placed) -> None:
    plan = placed(small_net)
    names = ("max", "mse", "entropy")
    assert default_first(names, plan.calibrated()) == ["max", "mse", "entropy"]
    for value in plan.calibrated():
        value.calibrator = "mse"
    assert default_first(names, plan.calibrated()) == ["mse", "max", "entropy"]
    assert default_first(("entropy",), plan.calibrated()) == ["entropy"]
    plan["x"].calibrator = "max"
    assert default_first(names, plan.calibrated()) == [None, "max", "mse", "entropy"]
    plan["x"].calibrator = "auto"
    assert default_first(names, plan.calibrated()) == ["max", "mse", "entropy"]


def test_candidates_are_measured_after_correction(small_net, placed, rows, rng) -> None:
    """Biases far from what they should be hide everything else; the correction is asked for each Plan."""
    from intaglio.graph.access import constant
    from intaglio.graph.edit import set_constant

    x = rng.normal(size=(16, 3, 8, 8)).astype(np.float32)
    seen = []

    def spoil(graph, plan):
        seen.append(plan)
        graph = graph.copy()
        bias = graph.nodes[-1].inputs[2]
        set_constant(bias, constant(bias) + np.float32(100))
        return graph, plan

    plan = placed(small_net)
    _, found, _ = automatic(small_net, plan, rows(x), correct=spoil)
    assert len(seen) >= 2
    assert all(c.sqnr < 0 for c in found)


def test_the_measured_error_is_that_of_the_simulated_outputs(small_net, placed, rows, rng) -> None:
    x = rng.normal(size=(4, 3, 8, 8)).astype(np.float32)
    _, (candidate,), statistics = automatic(
        small_net, placed(small_net), rows(x), calibrators=("max",), weight_calibrators=("max",)
    )
    assert candidate.samples == 1  # sample 3; the plan that was measured knew the other three
    from intaglio.calibrate import choose, observe

    plan = placed(small_net)
    tried = choose(small_net, plan, observe(small_net, plan, rows(x[:3]), batch_size=3), "max", "max")
    (want,), (got,) = Simulator(small_net).run(x[3:]), Simulator(small_net, tried).run(x[3:])
    sqnr = 10 * np.log10(np.square(want - want.mean()).sum() / np.square(want - got).sum())
    assert candidate.sqnr == pytest.approx(sqnr, abs=0.05)
    assert statistics.records["x"].high == x.max()


def test_the_final_ranges_are_those_of_all_samples(small_net, placed, rows, rng) -> None:
    x = rng.normal(size=(8, 3, 8, 8)).astype(np.float32)
    x[3, 0, 0, 0] = 100.0  # a sample that is held back
    plan, _, _ = automatic(small_net, placed(small_net), rows(x), calibrators=("max",))
    assert float(plan.params("x").range[1]) > 99  # type: ignore[union-attr]


def test_held_back_data_are_bounded(small_net, placed, rows, rng, monkeypatch) -> None:
    x = rng.normal(size=(300, 3, 8, 8)).astype(np.float32)
    run = lambda: automatic(small_net, placed(small_net), rows(x), calibrators=("max",), weight_calibrators=("max",))  # noqa: E731
    _, (candidate,), statistics = run()
    assert candidate.samples == HELD_SAMPLES == 64
    assert statistics.samples == 300
    monkeypatch.setattr("intaglio.calibrate.automatic.HELD_BYTES", 10 * (4 * 3 * 64 + 4 * 5))
    assert run()[1][0].samples == 10


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_few_samples_suffice(small_net, placed, rows, rng, n: int, batch_size: int | None) -> None:
    x = rng.normal(size=(n, 3, 8, 8)).astype(np.float32)
    done = calibrate(small_net, placed(small_net), rows(x), calibrator="auto", batch_size=batch_size)
    assert done.candidates[0].samples == 1
    assert done.statistics.samples == n
    assert done.statistics.records["x"].count == x.size


@pytest.mark.parametrize("calibrator", ["auto", "max", "mse"])
def test_no_samples_is_an_error(small_net, placed, rows, calibrator: str) -> None:
    nothing = rows(np.zeros((0, 3, 8, 8), np.float32))
    with pytest.raises(CalibrationError, match="calibration data: expected at least one sample, got none"):
        calibrate(small_net, placed(small_net), nothing, calibrator=calibrator)


@pytest.mark.parametrize(
    "given",
    [{"calibrator": "best"}, {"weight_calibrator": "best"}, {"calibrator": "auto", "weight_calibrator": "best"}],
)
def test_an_unknown_calibrator_is_refused_before_data_are_read(small_net, placed, given) -> None:
    class Unread:
        def batches(self, n):
            raise AssertionError

    with pytest.raises(UsageError, match="calibrator: expected auto or one of max"):
        calibrate(small_net, placed(small_net), Unread(), **given)


def test_all_zero_data_are_defined(small_net, placed, rows) -> None:
    done = calibrate(small_net, placed(small_net), rows(np.zeros((5, 3, 8, 8), np.float32)), calibrator="auto")
    (y,) = Simulator(small_net, done.plan).run(np.zeros((1, 3, 8, 8), np.float32))
    assert np.isfinite(y).all()


def test_the_plans_own_calibrators_are_used_unasked(small_net, placed, rows, rng) -> None:
    plan = placed(small_net)
    x = rng.normal(size=(6, 3, 8, 8)).astype(np.float32)
    assert [str(step) for step in calibrate(small_net, plan, rows(x)).steps] == [
        "calibrated on 6 samples: activations by max, weights by max"
    ]
    plan["x"].calibrator = "mse"
    mixed = calibrate(small_net, plan, rows(x), weight_calibrator="mse")
    assert [str(step) for step in mixed.steps] == [
        "calibrated on 6 samples: activations by max and mse, weights by mse"
    ]
    assert mixed.plan["x"].calibrator == "mse"
    plan["x"].calibrator = "auto"
    assert calibrate(small_net, plan, rows(x)).candidates


def test_what_goes_into_a_last_softmax_is_compared(new_net) -> None:
    net = new_net()
    x = net.op("Gemm", net.input("x", ("n", 4)), net.normal(4, 3), net.normal(3))
    net.output(net.op("Softmax", x), net.op("Relu", x))
    graph = load(net.model())
    assert watched_values(graph)[0] == str(graph.nodes[0].outputs[0].name)
    assert len(watched_values(graph)) == 2


def test_several_inputs_and_a_graph_that_is_not_batched(new_net, placed, rows, rng) -> None:
    net = new_net()
    a, b = net.input("a", (2, 6)), net.input("b", (3, 4))
    net.output(net.op("Add", net.op("Reshape", a, [3, 4]), net.op("Relu", b)))
    graph = load(net.model())
    assert not graph.batched
    xa, xb = (rng.normal(size=s).astype(np.float32) for s in ((5, 2, 6), (5, 3, 4)))
    for data in (rows(xa, xb), rows(xa.reshape(10, 6), xb.reshape(15, 4))):
        if len(data.arrays[0]) == 10:  # whole inputs one after another, in one batch
            data.batches = lambda n, d=data: iter([(d.arrays, None)])  # type: ignore[method-assign]
        done = calibrate(graph, placed(graph), data, calibrator="max")
        assert done.statistics.samples == 5
        assert done.statistics.records["a"].high == xa.max()
        assert done.statistics.records["b"].low == xb.min()
    assert calibrate(graph, placed(graph), rows(xa, xb), calibrator="auto").candidates[0].samples == 1
