"""Format numbers and names for people."""

from __future__ import annotations

import math

from intaglio.tables import clean as clean

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # cell without a value


def number(x: float) -> str:
    """Format with four significant digits and a typographic minus sign, at which lines do not break."""
    return f"{x:.4g}".replace("-", MINUS)


def span(low: float, high: float) -> str:
    """Format an interval; a single number if both ends read the same."""
    a, b = number(low), number(high)
    return a if a == b else f"{a} to {b}"


def decibels(x: float) -> str:
    """Format a ratio in dB; `equal` for no noise, `no signal` for minus infinity."""
    if math.isnan(x):
        return "not a number"
    if math.isinf(x):
        return "equal" if x > 0 else "no signal"
    return f"{x:.1f}\N{NO-BREAK SPACE}dB".replace("-", MINUS)


def size(n: float) -> str:
    """Format a size in bytes, KB, MB or GB of 1,000 bytes and so on: `1.0 GB`, `278 KB`."""
    if round(n) < 1000:
        return count(round(n), "byte")
    for unit in ("KB", "MB", "GB"):
        n /= 1000
        if round(n) < 1000 or unit == "GB":
            break
    return f"{n:.1f} {unit}" if n < 99.95 else f"{n:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Format a duration in milliseconds, seconds, minutes or hours."""
    if seconds < 0.95:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def latency(nanoseconds: float) -> str:
    """Format a latency in µs or ms."""
    return f"{nanoseconds / 1e6:.3f} ms" if nanoseconds >= 1e6 else f"{nanoseconds / 1e3:.1f} µs"


def per_second(rate: float) -> str:
    """Format a rate with three significant digits: `140,000`, `12.3`."""
    if rate < 100:
        return f"{rate:.3g}"
    step = 10 ** (len(str(int(rate))) - 3)
    return f"{round(rate / step) * step:,}"


def score(unit: str, value: float) -> str:
    """Format a metric's value with its unit, if it has one."""
    return f"{value:.2f} {unit}".replace("-", MINUS) if unit else number(value)


def change(unit: str, value: float, reference: float) -> str:
    """Format the difference between a value and that of the float network; of percentages in points."""
    difference = value - reference
    if unit:
        return f"{difference:+.2f} {'points' if unit == '%' else unit}".replace("-", MINUS)
    return f"{MINUS if difference < 0 else '+'}{number(abs(difference))}"


def count(n: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun: `1 layer`, `2 layers`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
