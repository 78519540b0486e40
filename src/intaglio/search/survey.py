"""Survey: accuracy of the integer program for every quantization scheme and method.

    types      power-of-two, symmetric, asymmetric scales; weight scales per tensor or per output channel
    methods    ranges without data, from synthesized data, from calibration data; each with and without recovery;
               retraining

Each cell of the table is quantized, lowered and measured by itself. A failed cell shows its error instead of a number.

Source: Krishnamoorthi 2018, arXiv:1806.08342, tables 2 to 4 (comparison by type and method).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from intaglio.data import Dataset
from intaglio.errors import IntaglioError
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.model_stages import Planned, integer_stage
from intaglio.files import data_fingerprint, run_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.lower import lower
from intaglio.number import Scheme
from intaglio.progress import progress
from intaglio.search.attempts import Attempt, AttemptFile
from intaglio.search.float_result import float_result
from intaglio.targets import Target

SCHEMES = (Scheme.POWER_OF_TWO, Scheme.SYMMETRIC, Scheme.ASYMMETRIC)
GRANULARITIES = ("tensor", "channel")
NO_DATA, SYNTHESIZED, CALIBRATION = "none", "synthesize", "calibration"
SOURCES = {NO_DATA: "no data", SYNTHESIZED: "synthesized data", CALIBRATION: "calibration data"}
"""Source of the ranges -> its name in tables."""


class SurveyCell(Protocol):
    """What is measured: a number format and a method."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def type(self) -> str:
        """Name of the number format."""

    @property
    def target(self) -> Target:
        """The number format."""


Make = Callable[[Any], Planned]
"""Cell -> quantized network."""


@dataclass(frozen=True)
class Cell:
    """Cell of the survey: one type and one method.

    Args:
        scheme: scheme of activations and weights.
        per: granularity of weight scales, "tensor" or "channel".
        source: a key of `SOURCES`.
        recover: whether recovery (equalization, bias correction, ...) is used.
        retrain: whether the network is trained with quantization, from scales of calibration data.
    """

    scheme: Scheme
    per: str
    source: str
    recover: bool
    retrain: bool = False

    @property
    def type(self) -> str:
        """Name of the type, such as `symmetric, per channel`."""
        return f"{self.scheme.value.replace('_', '-')}, per {self.per}"

    @property
    def method(self) -> str:
        """Name of the method, such as `no data + recovery`."""
        if self.retrain:
            return "retraining"
        return SOURCES[self.source] + (" + recovery" if self.recover else "")

    @property
    def name(self) -> str:
        """Unique name of the cell."""
        return f"{self.type}; {self.method}"

    @property
    def target(self) -> Target:
        """Target of the type."""
        return target_of(self)


CELLS = tuple(
    Cell(scheme, per, source, recover)
    for scheme in SCHEMES
    for per in GRANULARITIES
    for source in SOURCES
    for recover in (False, True)
)
RETRAINED = tuple(Cell(scheme, per, CALIBRATION, False, retrain=True) for scheme in SCHEMES for per in GRANULARITIES)
"""Cells that need training data."""


@dataclass(frozen=True)
class SurveyRow:
    """Result of one cell.

    Args:
        cell: the cell (see `SurveyCell`).
        score: score of the integer program; None if it has none.
        agreement: percent of samples with the float network's prediction; None for metrics without classes.
        seconds: seconds that quantizing and measuring took.
        error: why there is no score.
    """

    cell: Any
    score: float | None
    agreement: float | None
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Survey:
    """Result of `survey`.

    Args:
        network, metric: names of the network and the metric.
        reference: score of the float network.
        samples: number of samples of each score.
        rows: one row for each cell, in their order.
        lower_is_better: whether smaller values of the metric are better.
    """

    network: str
    metric: str
    reference: float
    samples: int
    rows: tuple[SurveyRow, ...]
    lower_is_better: bool = False

    @property
    def standard_error(self) -> float:
        """Standard error of the float network's top1 or top5, sqrt(p (100 - p) / n) in points; NaN otherwise."""
        p = self.reference
        return math.sqrt(p * (100 - p) / self.samples) if re.fullmatch(r"top\d+", self.metric) else math.nan

    def loss(self, row: SurveyRow) -> float | None:
        """Return the loss against float in the metric's unit; None without a score."""
        if row.score is None:
            return None
        return row.score - self.reference if self.lower_is_better else self.reference - row.score


def survey(
    graph: Graph,
    scored: Dataset,
    make: Make,
    *,
    cells: Sequence[SurveyCell] | None = None,
    more: Callable[[Any], str] | None = None,
    metric: MetricLike = "top1",
    settings: Mapping[str, Any] | None = None,
    path: Path | None = None,
    callback: Callable[[SurveyRow], None] | None = None,
) -> Survey:
    """Quantize and measure every cell.

    Args:
        graph: the prepared float network.
        scored: labelled evaluation data.
        make: quantizes the network as a cell says; if it raises an error, the cell shows the error.
        cells: what to measure; None: `CELLS`.
        more: what the result of a cell depends on besides its name and `settings`, as text; None: nothing.
        metric: a name of `evaluation.METRICS`, a function, or another form of `MetricLike`.
        settings: everything that `make` depends on besides its arguments, by name.
        path: JSON file, written after each cell, from which an interrupted survey resumes.
        callback: called with each row.
    Raises:
        UsageError: `path` has another format or other settings (the message names them), or cannot be written; or the
            metric is unknown.
        DataError: labels are missing, or the score of the float network is NaN or infinite.
    """
    found = metric_of(metric)
    data = {"evaluation data": data_fingerprint(scored)}
    all_settings = {"metric": found.fingerprint, **(settings or {})}
    file = AttemptFile(path, run_fingerprint(graph_fingerprint(graph), data, all_settings))
    real = float_result(graph, scored, found, file)
    rows = []
    for cell in progress(CELLS if cells is None else cells, label=f"survey {graph.name}"):
        name = cell.name + ("" if more is None else more(cell))
        attempt = file.attempts.get(name)
        if attempt is None or attempt.error:  # retry failed cells: they may have run out of memory
            attempt = replace(_measured(graph, scored, make, cell, found, real.predictions), name=name)
            file.add(attempt)
        row = SurveyRow(cell, attempt.score, attempt.agreement, attempt.seconds, attempt.error)
        rows.append(row)
        if callback is not None:
            callback(row)
    return Survey(graph.name, found.name, real.score, real.samples, tuple(rows), not found.higher_is_better)


def target_of(cell: Cell) -> Target:
    """Build the target of a cell: 8-bit formats, and 16 bits for the network's outputs."""
    asymmetric, power = cell.scheme is Scheme.ASYMMETRIC, cell.scheme is Scheme.POWER_OF_TWO
    scores = Scheme.POWER_OF_TWO if power else Scheme.SYMMETRIC
    return Target.model_validate(
        {
            "version": 1,
            "name": f"{cell.scheme.value.replace('_', '-')}-per-{cell.per}",
            "rule": "shift" if power else "half_up",
            "accumulator": 64,
            "activations": [{"type": "uint8" if asymmetric else "int8", "scheme": cell.scheme}],
            "weights": [{"type": "uint8" if asymmetric else "int8n", "scheme": cell.scheme, "per": cell.per}],
            "final": {"type": "int16", "scheme": scores},
        }
    )


def _measured(graph: Graph, scored: Dataset, make: Make, cell: SurveyCell, metric: Metric, predictions: Any) -> Attempt:
    begin = time.perf_counter()
    try:
        made = make(cell)
        stage = integer_stage(lower(made.graph, made.plan, {"name": graph.name}))
        found = evaluate([stage], scored, metric)
    except Exception as error:  # the other cells do not depend on this one; the table shows the error
        text = str(error) if isinstance(error, IntaglioError) else f"{type(error).__name__}: {error}"
        return Attempt(cell.type, cell.name, seconds=time.perf_counter() - begin, error=text)
    score = found.scores[0].value
    agreement = 100.0 * float((found.predictions[0] == predictions).mean()) if found.classes else None
    seconds = time.perf_counter() - begin
    if not math.isfinite(score):
        return Attempt(cell.type, cell.name, None, agreement, seconds, f"{metric} is {score}")
    return Attempt(cell.type, cell.name, score, agreement, seconds)
