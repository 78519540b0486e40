"""A survey: every type of quantization against every method, by the accuracy of the integer program.

    types      power-of-two, symmetric, asymmetric scales; one per weight tensor or one per output channel
    methods    ranges without any data, from data made from the network, from calibration data; each with and without
               recovery

Each cell is quantized, lowered and measured by itself. One that fails has its reason in the table instead of a number.

Source: of the comparison by type and method: Krishnamoorthi 2018, arXiv:1806.08342, tables 2 to 4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from intaglio.data import Dataset
from intaglio.errors import DataError, IntaglioError
from intaglio.evaluation import FloatStage
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.model_stages import integer_stage
from intaglio.files import data_fingerprint, run_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.lower import lower
from intaglio.number import Scheme
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.search.attempts import Attempt, AttemptFile
from intaglio.targets import Target

SCHEMES = (Scheme.POWER_OF_TWO, Scheme.SYMMETRIC, Scheme.ASYMMETRIC)
GRANULARITIES = ("tensor", "channel")
NO_DATA, SYNTHESIZED, CALIBRATION = "none", "synthesize", "calibration"
SOURCES = {NO_DATA: "no data", SYNTHESIZED: "synthesized data", CALIBRATION: "calibration data"}
"""Where ranges come from, and what tables call it."""


class Planned(Protocol):
    """A quantized network."""

    graph: Graph
    plan: Plan


Make = Callable[[Target, str, bool], Planned]
"""(target, a key of `SOURCES`, whether to recover) -> the quantized network."""


@dataclass(frozen=True)
class Cell:
    """One type and method.

    Args:
        scheme: of activations and weights.
        per: weights have one scale per "tensor" or per "channel".
        source: a key of `SOURCES`.
        recover: with equalization, bias correction and what else `make` knows.
    """

    scheme: Scheme
    per: str
    source: str
    recover: bool

    @property
    def type(self) -> str:
        """For people: `symmetric, per channel`."""
        return f"{self.scheme.value.replace('_', '-')}, per {self.per}"

    @property
    def method(self) -> str:
        """For people: `no data + recovery`."""
        return SOURCES[self.source] + (" + recovery" if self.recover else "")

    @property
    def name(self) -> str:
        """Unique."""
        return f"{self.type}; {self.method}"


CELLS = tuple(
    Cell(scheme, per, source, recover)
    for scheme in SCHEMES
    for per in GRANULARITIES
    for source in SOURCES
    for recover in (False, True)
)


@dataclass(frozen=True)
class Row:
    """A cell and what it reached.

    Args:
        cell: which.
        score: of the integer program; None where there is none.
        agreement: percent of samples with the float network's prediction.
        seconds: that quantization and measurement took.
        error: why there is no score.
    """

    cell: Cell
    score: float | None
    agreement: float | None
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Survey:
    """What `survey` returns.

    Args:
        network, metric: their names.
        reference: the score of the float network.
        samples: behind every score.
        rows: one for each of `CELLS`, in their order.
    """

    network: str
    metric: str
    reference: float
    samples: int
    rows: tuple[Row, ...]

    @property
    def standard_error(self) -> float:
        """Of the float network's score, for top1 and top5; NaN for others.   sqrt(p (100 - p) / n), in points"""
        p = self.reference
        return math.sqrt(p * (100 - p) / self.samples) if self.metric.startswith("top") else math.nan

    def loss(self, row: Row) -> float | None:
        """Points lost against float (of an error: what it grew by); None without a score."""
        if row.score is None:
            return None
        return row.score - self.reference if self.metric == "mse" else self.reference - row.score


def survey(
    graph: Graph,
    scored: Dataset,
    make: Make,
    *,
    metric: str = "top1",
    settings: Mapping[str, Any] | None = None,
    path: Path | None = None,
    callback: Callable[[Row], None] | None = None,
) -> Survey:
    """Measure every cell.

    Args:
        graph: the float network, in normal form.
        scored: labelled data.
        make: quantizes the network; an error that it raises becomes the cell's reason.
        metric: a name of `evaluation.METRICS`.
        settings: what `make` depends on besides its arguments, by name.
        path: a JSON file that is written after each cell, and from which an interrupted survey goes on.
        callback: called with each row.
    Raises:
        UsageError: `path` is of a survey with other settings (which ones is said), is none, or cannot be written; or
            there is no such metric.
        DataError: no labels, or the score of the float network is no number.
    """
    data = {"evaluation data": data_fingerprint(scored)}
    file = AttemptFile(path, run_fingerprint(graph_fingerprint(graph), data, {"metric": metric, **(settings or {})}))
    real = evaluate([FloatStage(graph)], scored, metric, label="evaluate float")
    reference = real.scores[0]
    if not math.isfinite(reference.value):
        raise DataError(f"{scored.name}: {metric} of the float network is {reference.value}; expected a number")
    rows = []
    for cell in progress(CELLS, label="survey"):
        attempt = file.attempts.get(cell.name)
        if attempt is None or attempt.error:  # what failed may have failed for want of memory
            attempt = _measured(graph, scored, make, cell, metric, real.predictions[0])
            file.add(attempt)
        row = Row(cell, attempt.score, attempt.agreement, attempt.seconds, attempt.error)
        rows.append(row)
        if callback is not None:
            callback(row)
    return Survey(graph.name, metric, reference.value, reference.samples, tuple(rows))


def target_of(cell: Cell) -> Target:
    """A target with the formats of a cell: 8 bits, and 16 for the scores that the network returns."""
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


def _measured(graph: Graph, scored: Dataset, make: Make, cell: Cell, metric: str, predictions: Any) -> Attempt:
    begin = time.perf_counter()
    try:
        made = make(target_of(cell), cell.source, cell.recover)
        stage = integer_stage(lower(made.graph, made.plan, {"name": graph.name}))
        found = evaluate([stage], scored, metric)
    except Exception as error:  # 35 other cells do not depend on it; the table says what it was
        text = str(error) if isinstance(error, IntaglioError) else f"{type(error).__name__}: {error}"
        return Attempt(cell.type, cell.name, seconds=time.perf_counter() - begin, error=text)
    score = found.scores[0].value
    agreement = 100.0 * float((found.predictions[0] == predictions).mean()) if metric != "mse" else None
    seconds = time.perf_counter() - begin
    if not math.isfinite(score):
        return Attempt(cell.type, cell.name, None, agreement, seconds, f"{metric} is {score}")
    return Attempt(cell.type, cell.name, score, agreement, seconds)
