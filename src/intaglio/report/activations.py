"""Collect activation histograms, with the clipping range that each calibrator would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intaglio.report.facts import ActivationHistogram
from intaglio.report.value_rows import grid_range

if TYPE_CHECKING:  # PyTorch is behind these
    from intaglio.calibrate import Statistics
    from intaglio.plan import Plan

SIDE = 80  # bins on each side of zero: finer than a phone can draw, about 2 KB in the page
MOST = 128  # values with a histogram: at most 5 seconds for thresholds and a quarter of a megabyte in the page


def activation_histograms(plan: Plan, statistics: Statistics, ratios: dict[str, float]) -> list[ActivationHistogram]:
    """Return the histogram of each calibrated value.

    Args:
        plan: the calibrated Plan.
        statistics: observed statistics; values without a histogram are skipped.
        ratios: SQNR in dB by value name; if there are more than `MOST` values, those with the lowest SQNR are taken.
    Returns:
        Histograms in the Plan's order.
    """
    from intaglio.calibrate import CALIBRATORS

    values = [v for v in plan.calibrated() if v.format is not None and _seen(statistics, v.name)]
    if len(values) > MOST:
        kept = {v.name for v in sorted(values, key=lambda v: ratios.get(v.name, float("inf")))[:MOST]}
        values = [v for v in values if v.name in kept]
    found = []
    for value in values:
        record = statistics.records[value.name]
        assert record.histogram is not None and value.format is not None
        counts, edges = record.histogram.used(SIDE)
        limits = {
            name: calibrator.range(record, value.format)
            for name, calibrator in CALIBRATORS.items()
            if not calibrator.needs & ~record.needs
        }
        found.append(
            ActivationHistogram(
                value=value.name,
                edges=edges,
                counts=counts,
                low=record.low,
                high=record.high,
                calibrator=value.calibrator or "",
                grid=None if value.params is None else grid_range(value.params),
                thresholds=limits,
            )
        )
    return found


def _seen(statistics: Statistics, name: str) -> bool:
    record = statistics.records.get(name)
    return record is not None and record.histogram is not None and record.count > 0
