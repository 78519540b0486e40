"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from intaglio.report import words


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1536, "1.5 KB"),
        (278_400, "278 KB"),
        (999_499, "999 KB"),
        (999_600, "1.0 MB"),
        (99_960_000, "100 MB"),
        (1_020_000_000, "1.0 GB"),
        (1_234_567_890_123, "1,235 GB"),
    ],
)
def test_sizes_have_a_unit_that_fits(n: int, text: str) -> None:
    assert words.size(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.034, "34 ms"), (3.04, "3.0 s"), (75, "75 s"), (600, "10 min"), (9000, "2 h 30 min")]
)
def test_durations_have_a_unit_that_fits(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0123, "0.0123"), (12.34, "12.3"), (123.4, "123"), (1234, "1,230"), (94_123, "94,100")]
)
def test_rates_have_three_digits(rate: float, text: str) -> None:
    assert words.per_second(rate) == text


def test_latencies_have_a_unit_that_fits() -> None:
    assert [words.latency(ns) for ns in (7_120, 999_900, 1_234_000)] == ["7.1 µs", "999.9 µs", "1.234 ms"]


def test_ratios_without_noise_or_signal_are_words() -> None:
    assert [words.decibels(x) for x in (-3.25, math.inf, -math.inf, math.nan)] == [
        "−3.2\N{NO-BREAK SPACE}dB",
        "equal",
        "no signal",
        "not a number",
    ]


def test_a_change_has_its_sign_and_its_unit() -> None:
    assert words.change("%", 88.0, 88.25) == "−0.25 points"
    assert words.change("", 0.5, 0.25) == "+0.25"


def test_equal_ends_of_a_span_are_one_number() -> None:
    assert words.span(0.5, 0.5) == "0.5"
    assert words.span(-1, 2.25) == "−1 to 2.25"
