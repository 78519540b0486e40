"""The histogram depends on the multiset of data only, and is exact."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from intaglio.calibrate.statistics.histogram import SIDE, SMALLEST_EXPONENT, Histogram, exponent_for, in_memory_order

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ARRAYS = hnp.arrays(np.float32, st.integers(1, 60), elements=FLOATS)


def histogram_of(x: np.ndarray) -> Histogram:
    result = Histogram()
    result.add(torch.from_numpy(x), float(np.abs(x).max()))
    return result


def bins_by_definition(x: np.ndarray, exponent: int) -> np.ndarray:
    """trunc(x / 2**k), in exact fractions."""
    counts = np.zeros(2 * SIDE - 1, np.int64)
    for value in x.tolist():
        counts[math.trunc(Fraction(value) / Fraction(2) ** exponent) + SIDE - 1] += 1
    return counts


@given(ARRAYS)
@settings(max_examples=200, deadline=None)
def test_bins_follow_their_definition(x: np.ndarray) -> None:
    bound = float(np.abs(x).max())
    got = histogram_of(x)
    assert got.exponent is not None
    assert bound < SIDE * 2.0**got.exponent
    assert bound >= SIDE * 2.0 ** (got.exponent - 1) or got.exponent == SMALLEST_EXPONENT
    np.testing.assert_array_equal(got.counts, bins_by_definition(x, got.exponent))


@given(ARRAYS, st.lists(st.integers(0, 60), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_neither_batches_nor_their_order_nor_merging_change_it(x: np.ndarray, cuts: list[int], random) -> None:
    whole = histogram_of(x)
    parts = [p for p in np.split(x, sorted(c for c in cuts if c < len(x))) if len(p)]
    random.shuffle(parts)
    streamed = Histogram()
    for part in parts:
        streamed.add(torch.from_numpy(part), float(np.abs(part).max()))
    assert streamed == whole
    merged = [histogram_of(part) for part in parts]
    while len(merged) > 1:
        one = merged.pop(random.randrange(len(merged)))
        other = merged.pop(random.randrange(len(merged)))
        merged.append(one.merge(other))
    assert merged[0] == whole


def test_merging_leaves_both_parts_as_they_are() -> None:
    small, large = histogram_of(np.float32([0.5, -0.25])), histogram_of(np.float32([100.0]))
    before = small.counts.copy(), large.counts.copy()
    small.merge(large).merge(small)
    np.testing.assert_array_equal(small.counts, before[0])
    np.testing.assert_array_equal(large.counts, before[1])


@pytest.mark.parametrize("bound", [1e-45, 1e-38, 1.0, 4095.0, 4096.0, 4097.0, 6.0, float(np.finfo(np.float32).max)])
def test_exponent_is_the_smallest_that_holds_the_bound(bound: float) -> None:
    k = exponent_for(bound)
    assert bound < SIDE * 2.0**k
    assert k == SMALLEST_EXPONENT or bound >= SIDE * 2.0 ** (k - 1)


def test_zeros_only_and_empty_are_defined() -> None:
    zeros = histogram_of(np.zeros(7, np.float32))
    assert zeros.total == 7
    assert zeros.moments() == (0.0, 0.0)
    assert Histogram().total == 0
    assert Histogram().moments() == (0.0, 0.0)
    assert Histogram().merge(zeros) == zeros == zeros.merge(Histogram())
    assert len(Histogram().used()[0]) == 0


def test_used_bins_cover_the_data_and_join_exactly(rng: np.random.Generator) -> None:
    x = rng.normal(0.3, 1.0, 5000).astype(np.float32)
    histogram = histogram_of(x)
    for side in (None, 512, 10):
        counts, edges = histogram.used(side)
        assert counts.sum() == x.size
        assert edges[0] <= x.min()
        assert x.max() < edges[-1]
        assert (np.diff(edges) > 0).all()
        assert side is None or len(counts) <= 2 * side - 1
        above = np.searchsorted(edges, x[x > 0], "right") - 1  # positive x lies in [edge, next edge)
        np.testing.assert_array_equal(np.bincount(above, minlength=len(counts))[edges[:-1] > 0], counts[edges[:-1] > 0])


def test_moments_are_those_of_the_data_within_a_bin(rng: np.random.Generator) -> None:
    x = rng.normal(-2.0, 3.0, 20000).astype(np.float32)
    histogram = histogram_of(x)
    mean, std = histogram.moments()
    assert abs(mean - x.mean(dtype=np.float64)) < histogram.width
    assert abs(std - x.std(dtype=np.float64)) < histogram.width


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_order_of_memory_does_not_matter(rng: np.random.Generator, memory: torch.memory_format) -> None:
    x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    tensor = torch.from_numpy(x).contiguous(memory_format=memory)
    assert in_memory_order(tensor).is_contiguous()
    got = Histogram()
    got.add(tensor, float(np.abs(x).max()))
    assert got == histogram_of(x.reshape(-1))
