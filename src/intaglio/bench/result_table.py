"""Print comparisons and profiles as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from intaglio.bench.comparison import Comparison
from intaglio.codegen.profile import StepTime
from intaglio.report.terminal_tables import print_table
from intaglio.report.terminal_text import folded
from intaglio.report.words import latency, per_second

HEADINGS = ("engine", "ends", "threads", "median", "quartiles", "a second", "times ours")
LEGEND = (
    "ends: type of inputs and outputs; a second: samples, one after the other; times ours: latency divided by ours "
    "with the same ends."
)


def comparison_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Format the cells of the table."""
    rows: list[tuple[str, ...]] = []
    for row in comparison.rows:
        low, high = row.timing.quartiles
        rows.append(
            (
                row.timing.engine.title,
                row.timing.engine.ends,
                str(row.threads),
                latency(row.timing.median),
                f"{latency(low)} to {latency(high)}",
                per_second(1e9 / row.timing.median),
                "-" if row.ratio is None else f"{row.ratio.value:.2f}",
            )
        )
    return rows


def quoted_lines(comparison: Comparison) -> list[str]:
    """Format the quoted ratios, one sentence for each number of threads."""
    lines = []
    for threads in dict.fromkeys(row.threads for row in comparison.rows):
        found = comparison.quoted(threads)
        if found is not None:
            best, value = found
            lines.append(
                f"{threads} thread{'s' * (threads > 1)}: {best.name}, takes {value.value:.2f} times as long as ours "
                f"with integers (quartiles {value.low:.2f} to {value.high:.2f})"
            )
    return lines


def print_comparison(title: str, comparison: Comparison, *, file: TextIO | None = None) -> None:
    """Print the table, the quoted ratios and the engines that were not timed."""
    print_table(title, HEADINGS, comparison_rows(comparison), file=file)
    print(folded(LEGEND), file=file)
    for line in quoted_lines(comparison):
        print(folded(line), file=file)
    for name, reason in comparison.absent.items():
        print(folded(reason, f"{name} not timed: ", "  "), file=file)


def print_steps(title: str, peak: float | None, steps: Sequence[StepTime], *, file: TextIO | None = None) -> None:
    """Print the steps of a profile and their sum; `peak` in multiply-adds per second."""
    known = "" if peak is None else f"; peak {peak / 1e9:.0f} G multiply-adds a second"
    rows = [
        (
            step.name,
            step.kind,
            f"{step.nanoseconds / 1e3:.1f}",
            f"{100 * step.share:.1f}",
            f"{step.macs:,}",
            "-" if step.of_peak is None else f"{100 * step.of_peak:.1f}",
        )
        for step in steps
    ]
    total, macs = sum(s.nanoseconds for s in steps), sum(s.macs for s in steps)
    whole = "-" if peak is None else f"{100e9 * macs / max(total, 1.0) / peak:.1f}"
    rows.append(("all", "", f"{total / 1e3:.1f}", "100.0", f"{macs:,}", whole))
    print_table(title + known, ("step", "operators", "µs", "% of time", "MAC", "% of peak"), rows, file=file)
