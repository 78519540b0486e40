"""Histograms with thresholds: the counts of calibration, and the ranges that each calibrator would have chosen."""

from __future__ import annotations

import numpy as np
import pytest

import intaglio as ig
from intaglio.calibrate import CALIBRATORS
from intaglio.report import activations
from intaglio.report.activations import activation_histograms
from intaglio.report.value_rows import grid_range


def test_thresholds_are_the_calibrators_own(quantized: ig.Quantized) -> None:
    assert quantized.statistics is not None
    found = activation_histograms(quantized.plan, quantized.statistics, {})
    assert [h.value for h in found] == [v.name for v in quantized.plan.calibrated()]
    for histogram in found:
        record, value = quantized.statistics.records[histogram.value], quantized.plan[histogram.value]
        assert value.format is not None
        assert value.params is not None
        assert set(histogram.thresholds) == set(CALIBRATORS)
        for name, pair in histogram.thresholds.items():
            assert pair == CALIBRATORS[name].range(record, value.format), name
        assert histogram.counts.sum() == record.count
        assert len(histogram.edges) == len(histogram.counts) + 1 <= 2 * activations.SIDE + 1
        assert histogram.edges[0] <= record.low <= record.high <= histogram.edges[-1]
        assert histogram.grid == grid_range(value.params)
        assert histogram.calibrator == value.calibrator


def test_the_chosen_threshold_equals_the_range_of_the_codes(quantized: ig.Quantized) -> None:
    """The grid holds the thresholds of the calibrator that was taken, and ends at one of them, to a step."""
    assert quantized.statistics is not None
    for histogram in activation_histograms(quantized.plan, quantized.statistics, {}):
        low, high = histogram.thresholds[histogram.calibrator]
        params = quantized.plan[histogram.value].params
        assert params is not None
        assert histogram.grid is not None
        step = float(params.scale.max())
        below, above = min(low, 0.0) - histogram.grid[0], histogram.grid[1] - max(high, 0.0)
        assert min(below, above) >= -step
        assert min(below, above) <= step  # a symmetric grid goes further on the other side


def test_values_without_statistics_are_left_out(images: np.ndarray, quantized: ig.Quantized) -> None:
    plain = ig.quantize(quantized.graph, images, calibrator="max", bias_correction=False, equalize=False)
    assert plain.statistics is not None
    assert activation_histograms(plain.plan, plain.statistics, {}) == []


def test_the_weakest_values_are_shown_if_there_are_many(
    quantized: ig.Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quantized.statistics is not None
    monkeypatch.setattr(activations, "MOST", 2)
    names = [v.name for v in quantized.plan.calibrated()]
    assert len(names) > 2
    ratios = {name: 50.0 - i for i, name in enumerate(names)}
    found = activation_histograms(quantized.plan, quantized.statistics, ratios)
    assert [h.value for h in found] == names[-2:]
