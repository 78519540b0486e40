"""Statistics merge exactly in any order, are saved and resumed, and refuse what does not belong to them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intaglio.calibrate import CALIBRATORS, Needs, Statistics, choose, observe
from intaglio.calibrate.statistics.moving_extremes import RATE, MovingExtremes
from intaglio.calibrate.statistics.observer import Observer
from intaglio.calibrate.statistics.record import Record
from intaglio.calibrate.statistics.statistics import STATISTICS, joined_parts
from intaglio.errors import CalibrationError, DataError
from intaglio.graph.edit import set_attribute


def moving_by_definition(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """The mean with weights that shrink by 1 % from each sample to the one before it."""
    weights = 0.99 ** np.arange(len(low))[::-1]
    return float(np.average(low, weights=weights)), float(np.average(high, weights=weights))


@given(st.integers(1, 70), st.lists(st.integers(1, 69), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_moving_average_is_bit_equal_however_it_is_cut_and_merged(n: int, cuts: list[int], random) -> None:
    low, high = np.sort(np.random.default_rng(n).normal(size=(2, n)), axis=0)
    whole = MovingExtremes()
    whole.add(0, low, high)
    np.testing.assert_allclose(whole.range, moving_by_definition(low, high), rtol=1e-12, atol=1e-12)
    starts = [0, *sorted({c for c in cuts if c < n})]
    parts = []
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        part = MovingExtremes()
        part.add(start, low[start:stop], high[start:stop])
        parts.append(part)
    random.shuffle(parts)
    while len(parts) > 1:
        parts.append(parts.pop(random.randrange(len(parts))).merge(parts.pop(random.randrange(len(parts)))))
    assert parts[0].range == whole.range
    assert len(whole.runs) == bin(n).count("1")  # memory grows with the logarithm


def moving_range(low: list[float], high: list[float]) -> tuple[float, float]:
    extremes = MovingExtremes()
    extremes.add(0, np.array(low), np.array(high))
    return extremes.range


def test_moving_average_of_few_samples_by_hand() -> None:
    assert moving_range([-3.0], [5.0]) == pytest.approx((-3, 5), rel=1e-14)
    # (0.99 * -1 - 3) / 1.99, (0.99 * 1 + 2) / 1.99
    assert moving_range([-1.0, -3.0], [1.0, 2.0]) == pytest.approx((-2.0050251256281406, 1.5025125628140703), rel=1e-14)


def test_moving_average_hardly_depends_on_the_order_of_few_samples() -> None:
    """One of 8 samples is ten times as large as the others: first or last, it counts for an eighth."""
    low, high = -np.ones(8), np.ones(8)
    low[0], high[0] = -10, 10
    for at in range(8):
        assert moving_range(np.roll(low, at), np.roll(high, at)) == pytest.approx((-17 / 8, 17 / 8), rel=0.02)


def test_moving_average_of_many_samples_is_that_of_pytorch_which_begins_with_the_first() -> None:
    from torch.ao.quantization import MovingAverageMinMaxObserver

    x = np.random.default_rng(1).normal(size=(1500, 50)).astype(np.float32)
    theirs = MovingAverageMinMaxObserver(averaging_constant=RATE)
    for row in x:
        theirs(torch.from_numpy(row))
    ours = moving_range(x.min(axis=1), x.max(axis=1))
    np.testing.assert_allclose(ours, (float(theirs.min_val), float(theirs.max_val)), rtol=1e-5)


def test_a_sample_counted_twice_is_refused() -> None:
    a, b = MovingExtremes(), MovingExtremes()
    a.add(0, np.zeros(3), np.ones(3))
    b.add(2, np.zeros(1), np.ones(1))
    with pytest.raises(CalibrationError, match="sample 2 is in two parts"):
        a.merge(b)
    with pytest.raises(CalibrationError, match="sample 5 is in two parts"):
        joined_parts([(0, 6), (5, 7)])
    assert joined_parts([(4, 6), (0, 2), (2, 4)]) == ((0, 6),)


def test_parts_merged_in_any_order_give_the_same_ranges(small_net, placed, rows, rng, tmp_path) -> None:
    """The parts come from other processes, through files."""
    plan = placed(small_net)
    x = rng.normal(size=(11, 3, 8, 8)).astype(np.float32) * rng.uniform(0.1, 9, (11, 1, 1, 1)).astype(np.float32)
    # One sample a batch, so that the float network itself sums in the same order.
    whole = observe(small_net, plan, rows(x), batch_size=1)
    parts = []
    for i, (start, stop) in enumerate(((0, 4), (4, 5), (5, 9), (9, 11))):
        part = observe(small_net, plan, rows(x[start:stop]), batch_size=1, first_sample=start)
        part.save(tmp_path / f"{i}.npz")
        parts.append(Statistics.load(tmp_path / f"{i}.npz"))
    names = (*CALIBRATORS, "percentile-98.5")
    want = {name: choose(small_net, plan, whole, name) for name in names}
    for order in itertools.permutations(range(4)):
        merged = parts[order[0]]
        for i in order[1:]:
            merged = merged.merge(parts[i])
        assert merged.samples == 11
        assert merged.parts == ((0, 11),)
        for key, record in merged.records.items():
            assert record.histogram == whole.records[key].histogram
        if order[0] == order[1] - 1:  # all calibrators for some of the orders; equal histograms give equal ranges
            for name in names:
                got = choose(small_net, plan, merged, name)
                assert all(got[v].params == want[name][v].params for v in plan.values), name
    tree = parts[3].merge(parts[1]).merge(parts[0].merge(parts[2]))
    assert all(
        tree.records[k].moving.range == whole.records[k].moving.range  # type: ignore[union-attr]
        for k in whole.records
    )


def test_batch_size_changes_nothing_beyond_float_rounding(small_net, placed, rows, rng) -> None:
    x = rng.normal(size=(7, 3, 8, 8)).astype(np.float32)
    plan = placed(small_net)
    one, all_ = (observe(small_net, plan, rows(x), batch_size=n) for n in (1, 7))
    assert one.records["x"].histogram == all_.records["x"].histogram
    assert one.records["x"].moving == all_.records["x"].moving
    for name in CALIBRATORS:
        a, b = (choose(small_net, plan, s, name) for s in (one, all_))
        for value in plan.calibrated():
            np.testing.assert_allclose(a.params(value.name).scale, b.params(value.name).scale, rtol=2e-2)


def test_a_broken_off_run_goes_on_from_its_checkpoint(small_net, placed, rows, rng, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("intaglio.calibrate.statistics.observer.CHECKPOINT_SECONDS", -1.0)
    x = rng.normal(size=(9, 3, 8, 8)).astype(np.float32)
    plan, path = placed(small_net), tmp_path / "half.npz"

    step = Observer.step

    def broken_off(self, feed, first, size, also=None):
        if first:
            raise KeyboardInterrupt
        step(self, feed, first, size, also)

    monkeypatch.setattr(Observer, "step", broken_off)
    with pytest.raises(KeyboardInterrupt):
        observe(small_net, plan, rows(x), batch_size=5, checkpoint=path)
    monkeypatch.setattr(Observer, "step", step)
    assert Statistics.load(path).parts == ((0, 5),)
    done = observe(small_net, plan, rows(x), batch_size=3, checkpoint=path)  # 5 is within a batch of 3
    want = observe(small_net, plan, rows(x), batch_size=3)
    assert done.parts == want.parts == ((0, 9),)
    assert done.records["x"].histogram == want.records["x"].histogram
    assert Statistics.load(path).parts == ((0, 9),)
    again = observe(small_net, plan, rows(x), checkpoint=path)
    assert again.records["x"].count == want.records["x"].count
    with pytest.raises(CalibrationError, match="first sample was 0, now 4"):
        observe(small_net, plan, rows(x), first_sample=4, checkpoint=path)


def test_statistics_of_another_graph_are_refused(small_net, conv_net, placed, rows, rng) -> None:
    other, x_name, *_ = conv_net(rng.normal(size=(4, 3, 3, 3)))
    assert x_name == "x"
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    mine = observe(small_net, placed(small_net), rows(x))
    theirs = observe(other, placed(other), rows(x[:, :, :6, :6]))
    with pytest.raises(CalibrationError, match="expected those of this Graph"):
        choose(small_net, placed(small_net), theirs, "max")
    with pytest.raises(CalibrationError, match="expected parts of the same Graph"):
        mine.merge(theirs)
    only_extremes = observe(small_net, placed(small_net), rows(x), needs=Needs.EXTREMES, first_sample=2)
    with pytest.raises(CalibrationError, match="the same kinds of numbers"):
        mine.merge(only_extremes)
    with pytest.raises(CalibrationError, match="'x': mse needs a histogram, which was not observed"):
        choose(small_net, placed(small_net), only_extremes, "mse")
    with pytest.raises(CalibrationError, match="sample 1 is in two parts"):
        mine.merge(observe(small_net, placed(small_net), rows(x), first_sample=1))


def test_the_same_structure_with_other_weights_is_another_graph(conv_net, placed, rows, rng) -> None:
    w = rng.normal(size=(4, 3, 3, 3))
    a, b = conv_net(w)[0], conv_net(w + 1)[0]
    statistics = observe(a, placed(a), rows(rng.normal(size=(1, 3, 6, 6)).astype(np.float32)))
    with pytest.raises(CalibrationError, match="another one's"):
        choose(b, placed(b), statistics, "max")


def test_the_same_network_with_another_attribute_is_another_graph(small_net, placed, rows, rng) -> None:
    statistics = observe(small_net, placed(small_net), rows(rng.normal(size=(1, 3, 8, 8)).astype(np.float32)))
    other = small_net.copy()
    set_attribute(other.nodes[0], "dilations", (2, 2))
    with pytest.raises(CalibrationError, match="another one's"):
        choose(other, placed(small_net), statistics, "max")


def test_damaged_files_are_refused(tmp_path, small_net, placed, rows, rng) -> None:
    x = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    path = tmp_path / "s.npz"
    statistics = observe(small_net, placed(small_net), rows(x))
    statistics.save(path)
    assert Statistics.load(path).records["x"] == statistics.records["x"]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CalibrationError, match="expected the statistics of a calibration, got something else"):
        Statistics.load(path)
    np.savez(path, header=np.array([1, 2, 3]))
    with pytest.raises(CalibrationError, match="got something else"):
        Statistics.load(path)
    np.save(tmp_path / "plain.npy", x)
    with pytest.raises(CalibrationError, match="got something else"):
        Statistics.load(tmp_path / "plain.npy")
    np.savez(path, header=np.array([{"a": 1}], dtype=object))  # a pickle is not opened
    with pytest.raises(CalibrationError):
        Statistics.load(path)
    with pytest.raises(CalibrationError, match="No such file"):
        Statistics.load(tmp_path / "none.npz")
    with pytest.raises(CalibrationError, match="expected to write the statistics of a calibration here"):
        statistics.save(tmp_path / "plain.npy" / "s.npz")
    replace(STATISTICS, version=9).write(path, {}, statistics.state())
    with pytest.raises(CalibrationError, match="version 3, got version 9, which another release of intaglio wrote"):
        Statistics.load(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("needs", [Needs.EXTREMES, Needs.HISTOGRAM | Needs.MOVING])
def test_values_that_are_not_finite_are_named(small_net, placed, rows, rng, bad: float, needs: Needs) -> None:
    x = rng.normal(size=(6, 3, 8, 8)).astype(np.float32)
    x[4, 0, 1, 2] = bad
    with pytest.raises(CalibrationError, match=r"value 'x', sample 4: expected finite values, got 1 NaN or infinite"):
        observe(small_net, placed(small_net), rows(x), needs=needs, batch_size=3)


def test_no_samples_are_refused(small_net, placed, rows) -> None:
    with pytest.raises(CalibrationError, match="expected at least one sample, got none"):
        observe(small_net, placed(small_net), rows(np.zeros((0, 3, 8, 8), np.float32)))


def test_data_of_another_shape_are_refused(small_net, placed, rows) -> None:
    plan = placed(small_net)
    with pytest.raises(DataError, match=r"input 'x': expected shape \(N, 3, 8, 8\), got \(2, 8, 8, 3\)"):
        observe(small_net, plan, rows(np.zeros((2, 8, 8, 3), np.float32)))
    with pytest.raises(DataError, match=r"expected 1 inputs \(x\), got 2"):
        observe(small_net, plan, rows(np.zeros((2, 3, 8, 8), np.float32), np.zeros(2)))

    class Named:
        def batches(self, n):
            yield {"image": np.zeros((2, 3, 8, 8), np.float32)}, None

    with pytest.raises(DataError, match="expected inputs x, got image"):
        observe(small_net, plan, Named())


def test_extremes_alone_need_one_pass_and_no_histogram(rng: np.random.Generator) -> None:
    record = Record.empty(Needs.EXTREMES)
    x = rng.normal(size=(4, 5)).astype(np.float32)
    record.add(torch.from_numpy(x), 0, 4)
    assert (record.low, record.high, record.count) == (x.min(), x.max(), 20)
    assert record.histogram is None
    assert record.moving is None
    assert record.needs == Needs.EXTREMES
