"""The job of `intaglio survey`: measure networks in many number formats with many methods."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intaglio.api import calibration_data, quantize_as, training_stage
from intaglio.calibrate.data_free.input_moments import InputRange
from intaglio.data import DataLike
from intaglio.data.preprocessing_note import assumed
from intaglio.errors import UsageError
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.model_stages import data_for
from intaglio.files import data_fingerprint, text_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.ptq.recipe import Recipe
from intaglio.quantized import Quantized
from intaglio.search.survey import CALIBRATION, Cell, Survey, SurveyCell, SurveyRow, survey
from intaglio.search.survey_columns import RETRAINING, Column
from intaglio.search.training import Training
from intaglio.train.loop import TrainSettings

STATE = "survey.json"


@dataclass(frozen=True)
class SurveyedNetwork:
    """Network of a survey, with its data.

    Args:
        name: unique name.
        load: returns the prepared Graph.
        load_raw: returns the Graph before any pass, for retraining.
        data, eval_data: calibration data; labelled data that every integer program is measured on.
        train: labelled training data; None: no retraining.
        metric: metric on `eval_data`.
    """

    name: str
    load: Callable[[], Graph]
    load_raw: Callable[[], Graph]
    data: DataLike
    eval_data: DataLike
    train: DataLike | None = None
    metric: MetricLike = "top1"


@dataclass(frozen=True)
class SurveySettings:
    """Settings of a survey.

    Args:
        samples: most calibration samples.
        limit: most samples of evaluation data; None: all.
        calibrator: chooses ranges, see `intaglio.quantize`.
        input_range: range of the inputs, for cells without data.
        training: settings of retraining, see `search.training.stage_settings`.
    """

    samples: int
    limit: int | None
    calibrator: str
    input_range: InputRange
    training: TrainSettings


def survey_job(
    network: SurveyedNetwork,
    cells: Sequence[SurveyCell],
    settings: SurveySettings,
    folder: Path,
    *,
    state: Path | None = None,
    callback: Callable[[SurveyRow], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Survey:
    """Measure the cells of one network.

    Args:
        network: the network and its data.
        cells: `Cell`s or `Column`s.
        settings: settings of the survey.
        folder: keeps unfinished results, from which an interrupted survey resumes.
        state: file of the results; it is refused if they belong to other settings. None: a file in `folder` whose name
            depends on network, data and settings.
        callback: called with each row.
        tell: called with what a reader of the results has to know besides.
    Raises:
        IntaglioError: the network or its data cannot be used, or `state` belongs to other settings.
    """
    graph = network.load()
    scored = data_for(graph, network.eval_data, settings.limit, labels=True, metric=network.metric)
    data = data_for(graph, network.data, settings.samples)
    facts = {
        "calibration data": data_fingerprint(data),
        "calibrator": settings.calibrator,
        "input range": None if settings.input_range is None else str(settings.input_range).strip("()"),
    }
    training, trained = None, ""
    if network.train is not None and any(map(_trains, cells)):
        training = training_stage(network.load_raw(), graph, network.train, settings.training)
        if tell is not None and training.note:
            tell(f"{network.name}: retraining: {training.note}")
        trained = text_fingerprint(repr((data_fingerprint(training.data), settings.training)))[:12]
    checkpoints = folder / "training" if state is not None else None
    if state is None:
        digest = text_fingerprint(
            repr((graph_fingerprint(graph), data_fingerprint(scored), metric_of(network.metric).fingerprint, facts))
        )
        state = folder / f"{file_name(network.name)}-{digest[:12]}" / STATE
    maker = _Maker(graph, settings, training, checkpoints or state.parent, {CALIBRATION: data})
    found = survey(
        graph,
        scored,
        maker,
        cells=cells,
        more=lambda cell: f" ({trained})" if _trains(cell) else "",
        metric=network.metric,
        settings=facts,
        path=state,
        callback=callback,
    )
    if tell is not None and (note := assumed(data) or assumed(scored)) is not None:
        tell(f"{network.name}: {note}")
    return found


def _trains(cell: SurveyCell) -> bool:
    return cell.retrain if isinstance(cell, Cell) else isinstance(cell, Column) and cell.method == RETRAINING


@dataclass
class _Maker:
    """Quantizes the network of a survey as a cell says; synthesized inputs are generated once and reused."""

    graph: Graph
    settings: SurveySettings
    training: Training | None
    folder: Path
    sources: dict[str, Any]

    def __call__(self, cell: SurveyCell) -> Quantized:
        if isinstance(cell, Column):
            source, recipe = CALIBRATION, cell.recipe(self.settings.calibrator)
        else:
            assert isinstance(cell, Cell)
            source, recipe = cell.source, Recipe(calibrator=self.settings.calibrator)
            recipe = recipe if cell.recover else recipe.without_recovery()
        if source not in self.sources:
            samples, stated = self.settings.samples, self.settings.input_range
            self.sources[source] = calibration_data(self.graph, source, samples, input_range=stated)
        quantized = quantize_as(self.graph, self.sources[source], cell.target, recipe)
        if not _trains(cell):
            return quantized
        if self.training is None:
            raise UsageError("no training data: give --train, or `train` in the list of networks")
        folder = self.folder / file_name(cell.name)
        folder.mkdir(parents=True, exist_ok=True)
        trained = self.training.quantized(cell.target, quantized.plan, {}, folder)
        shutil.rmtree(folder, ignore_errors=True)  # the training is complete: there is nothing to resume
        return trained


def file_name(name: str) -> str:
    """Make a name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip(".-") or "network"
