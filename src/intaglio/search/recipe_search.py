"""Recipe search: try quantization recipes, cheapest first, until the accuracy loss is small enough.

    1. calibrators     nearest rounding with each calibrator
    2. recovery        bias correction, equalization, activation equalization, weight clipping
    3. rounding        GPTQ, AdaRound, block reconstruction
    4. partial         the most sensitive layers in wider formats
    5. training        quantization-aware training, if labelled training data are given

Each attempt is lowered, and its integer program is measured on the evaluation data. The first attempt within the
allowed loss ends the search; if there is none, the best attempt is the result. Results are kept in a file, so that an
interrupted search resumes; learned rounding and sensitivities have files of their own.

Source: Wu et al. 2020, arXiv:2004.09602, section 6; the stages between calibration and training are ours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from intaglio.calibrate.no_data import NoData
from intaglio.data import Dataset
from intaglio.errors import (
    CalibrationError,
    IntaglioError,
    LoweringError,
    TargetError,
    TrainingError,
    UsageError,
    check_number,
)
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.model_stages import integer_stage
from intaglio.files import data_fingerprint, run_fingerprint, text_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.lower import lower
from intaglio.plan import Step
from intaglio.ptq.driver import TRIAL_SAMPLES, Data, quantize_graph, split
from intaglio.ptq.recipe import NEAREST, Recipe
from intaglio.ptq.roundings import ALGORITHMS
from intaglio.quantized import Quantized
from intaglio.search.attempts import Attempt, AttemptFile
from intaglio.search.float_result import float_result
from intaglio.search.partial import partial, wider_formats, wider_values
from intaglio.search.sensitivity import sensitivity
from intaglio.search.training import STAGE, Training
from intaglio.targets import Target
from intaglio.targets.target import AUTO

CALIBRATORS = (AUTO, "max", "percentile-99.99", "mse", "entropy")
LEARNED = tuple(ALGORITHMS)
ALGORITHM = "recipe search"
Callback = Callable[[Attempt, float], None]


@dataclass(frozen=True)
class SearchResult:
    """Result of `search_recipes`.

    Args:
        quantized: the best network.
        attempts: all attempts in order.
        holds: whether its loss is within `max_drop`.
        reference: score of the float network.
    """

    quantized: Quantized
    attempts: tuple[Attempt, ...]
    holds: bool
    reference: float


def loss(metric: MetricLike, score: float, reference: float) -> float:
    """Return the loss against float in the metric's unit, or percent (see `Metric.relative`); infinite for NaN."""
    return metric_of(metric).loss(score, reference) if math.isfinite(score) else math.inf


def search_recipes(
    graph: Graph,
    target: Target,
    dataset: Data | NoData,
    scored: Dataset,
    *,
    max_drop: float,
    metric: MetricLike = "top1",
    recipe: Recipe | None = None,
    folder: Path | None = None,
    callback: Callback | None = None,
    training: Training | None = None,
) -> SearchResult:
    """Find the cheapest recipe whose integer program loses at most `max_drop`.

    Args:
        graph: the prepared float network.
        target: the hardware target.
        dataset: calibration inputs, read many times; or `NoData`.
        scored: labelled data on which every attempt is measured; must differ from the calibration data.
        max_drop: largest accepted loss in the metric's unit, inclusive: a fall, or a rise where lower is better (of
            mse: in percent).
        metric: a name of `evaluation.METRICS`, a function, or another form of `MetricLike`.
        recipe: starting point of all attempts; if it names a calibrator or a rounding, only that one is tried.
        folder: folder for the state of the search, from which an interrupted search resumes; None: keep no state.
        callback: called after each attempt with the attempt and its loss.
        training: the training stage; None: no training.
    Returns:
        The first attempt within `max_drop`, or the best one.
    Raises:
        UsageError: `max_drop` is negative or not finite; or the folder has a search with other settings.
        DataError: the float network's score is NaN or infinite; or the data do not fit the network.
        LoweringError, TargetError, CalibrationError: no attempt gave a program; the first attempt's error.
    """
    found = metric_of(metric)
    check_number("max-drop", max_drop)
    if not (max_drop >= 0 and math.isfinite(max_drop)):
        raise UsageError(f"max-drop: expected points of {found}, 0 or more, got {max_drop:g}")
    return _Search(
        graph, target, dataset, scored, found, max_drop, recipe or Recipe(), folder, callback, training
    ).run()


class _Search:
    """State of a search: results so far and the best network."""

    def __init__(
        self,
        graph: Graph,
        target: Target,
        dataset: Data | NoData,
        scored: Dataset,
        metric: Metric,
        max_drop: float,
        recipe: Recipe,
        folder: Path | None,
        callback: Callback | None,
        training: Training | None,
    ) -> None:
        self.graph, self.target, self.dataset, self.scored = graph, target, dataset, scored
        self.metric, self.max_drop, self.base, self.folder, self.callback = metric, max_drop, recipe, folder, callback
        self.training = training
        if training is not None and training.loss is None and metric.labels == "numbers":
            raise UsageError(
                f"train: expected a metric of classes such as top1, got {metric}; choose such a metric, give a loss of "
                "your own (train_loss), or search without training"
            )
        self.file = AttemptFile(self._path("attempts.json"), {} if folder is None else self._belongs_to())
        real = float_result(graph, scored, metric, self.file)
        self.reference, self.predictions = real.score, real.predictions
        self.tried: dict[str, tuple[Attempt, Recipe]] = {}
        self.made: tuple[str, Quantized] | None = None  # (name, network) of the best attempt, if this run made it
        self.errors: list[IntaglioError] = []

    def run(self) -> SearchResult:
        """Run the stages in order and return the result."""
        if not any(self._holds(self._attempt(*step)) for step in self._recipes()):
            self._partial()
            self._train()
        best = self._best()
        if best is None:
            raise self.errors[0] if self.errors else LoweringError(next(iter(self.tried.values()))[0].error)
        quantized = self._network(best)
        quantized.steps += self._steps(best)
        return SearchResult(quantized, tuple(a for a, _ in self.tried.values()), self._holds(best), self.reference)

    def _recipes(self) -> Iterator[tuple[str, str, Recipe]]:
        """Yield (stage, name, recipe) of the first three stages; each continues from the best recipe so far."""
        plain = self.base.without_recovery()
        blind = isinstance(self.dataset, NoData)
        names = tuple(c for c in CALIBRATORS if not (blind and c == AUTO))  # auto needs data to compare on
        for name in names if self.base.calibrator == AUTO else (self.base.calibrator,):
            label = name if isinstance(name, str) else "of the target" if name is None else name.name
            yield "calibrators", f"calibrator {label}", replace(plain, calibrator=name)
        changes: list[tuple[str, dict[str, Any]]] = [
            ("bias correction", {"bias_correction": self.base.bias_correction}),
            ("equalization", {"equalize": self.base.equalize}),
            ("activation equalization", {"smooth": True}),
            ("weight clamp", {"clamp_weights": True}),
        ]
        for name, change in [("recovery", {"bias_correction": True, "equalize": True})] if blind else changes:
            best = self._best_recipe(plain)
            longer = replace(best, **change)
            if longer != best:
                yield "recovery", name, longer
        if blind:
            return
        best = self._best_recipe(plain)
        for rounding in LEARNED if self.base.rounding == NEAREST else (self.base.rounding,):
            yield "rounding", rounding, replace(best, rounding=rounding, iterations=self.base.iterations)

    def _partial(self) -> None:
        """Widen the most sensitive layers, starting from the best recipe without learned rounding."""
        best = self._best(lambda recipe: recipe.rounding == NEAREST)
        if best is None:
            return
        recipe, first = self.tried[best.name][1], self._network(best)
        seen = self.scored if isinstance(self.dataset, NoData) else self.dataset
        held_back = split(seen, self.graph, TRIAL_SAMPLES)[1]
        values = wider_values(first.graph, first.plan, self.target)
        path = self._path("sensitivity.json")
        found = sensitivity(first.graph, first.plan, held_back, reference=first.reference, values=values, path=path)
        try:
            wider = wider_formats(first.graph, first.plan, self.target, [layer.name for layer in found.ranking()])
        except TargetError as error:
            self._tell(Attempt("partial", "wider formats", error=str(error)), recipe)
            return

        def make(layers: Mapping[str, str]) -> Attempt:
            words = f"{len(layers)} of {len(wider)} layers wider"
            return self._attempt("partial", words, replace(recipe, layers={**recipe.layers, **layers}))

        partial(best, wider, make, lambda attempt: -self._loss(attempt), -self.max_drop, metric=self.metric.name)

    def _train(self) -> None:
        """Train if no attempt was good enough so far; start from the best recipe without recovery."""
        best = self._best()
        if self.training is None or (best is not None and self._holds(best)):
            return
        plain = self.base.without_recovery()
        begin = self._best(lambda recipe: recipe == replace(plain, calibrator=recipe.calibrator))
        self._attempt(STAGE, self.training.name, plain if begin is None else self.tried[begin.name][1])

    def _attempt(self, stage: str, name: str, recipe: Recipe) -> Attempt:
        """Measure a recipe, or take its result from the file."""
        known = self.file.attempts.get(name)
        attempt = self._measured(stage, name, recipe) if known is None else known
        self._tell(attempt, recipe)
        return attempt

    def _measured(self, stage: str, name: str, recipe: Recipe) -> Attempt:
        begin = time.perf_counter()
        try:
            quantized = self._made(stage, name, recipe)
            runs = integer_stage(lower(quantized.graph, quantized.plan, {"name": self.graph.name}))
        except (LoweringError, CalibrationError, TargetError, TrainingError) as error:
            self.errors.append(error)
            attempt = Attempt(stage, name, seconds=time.perf_counter() - begin, error=str(error))
        else:
            found = evaluate([runs], self.scored, self.metric)
            score, same = found.scores[0].value, found.predictions[0] == self.predictions
            attempt = Attempt(
                stage,
                name,
                score if math.isfinite(score) else None,
                100.0 * float(same.mean()) if found.classes else None,
                time.perf_counter() - begin,
                "" if math.isfinite(score) else f"{self.metric} is {score}",
            )
            best = self._best()
            if best is None or self._loss(attempt) < self._loss(best):
                self.made = name, quantized
        self.file.add(attempt)
        return attempt

    def _network(self, attempt: Attempt) -> Quantized:
        """Return the network of an attempt, from memory or made again."""
        if self.made is None or self.made[0] != attempt.name:
            self.made = attempt.name, self._made(attempt.stage, attempt.name, self.tried[attempt.name][1])
        return self.made[1]

    def _made(self, stage: str, name: str, recipe: Recipe) -> Quantized:
        if stage == STAGE and self.training is not None:
            began = quantize_graph(self.graph, self.target, self.dataset, recipe)
            return self.training.quantized(self.target, began.plan, recipe.layers, self.folder)
        learned = recipe.rounding != NEAREST
        checkpoint = self._path(f"{name}.npz") if learned else None
        return quantize_graph(self.graph, self.target, self.dataset, recipe, checkpoint=checkpoint)

    def _best(self, among: Callable[[Recipe], bool] = lambda recipe: True) -> Attempt | None:
        """Return the attempt with the smallest loss; among equal ones the first, which is the simplest."""
        scored = [a for a, recipe in self.tried.values() if a.score is not None and among(recipe)]
        return min(scored, key=self._loss, default=None)

    def _best_recipe(self, otherwise: Recipe) -> Recipe:
        best = self._best()
        return otherwise if best is None else self.tried[best.name][1]

    def _loss(self, attempt: Attempt) -> float:
        return math.inf if attempt.score is None else loss(self.metric, attempt.score, self.reference)

    def _holds(self, attempt: Attempt) -> bool:
        return self._loss(attempt) <= self.max_drop

    def _tell(self, attempt: Attempt, recipe: Recipe) -> None:
        self.tried[attempt.name] = attempt, recipe
        if self.callback is not None:
            self.callback(attempt, self._loss(attempt))

    def _steps(self, best: Attempt) -> list[Step]:
        """Return the history: every attempt and the decision."""
        samples = len(self.predictions)
        steps = []
        for attempt, _ in self.tried.values():
            text = f"{attempt.stage}, {attempt.name}: "
            if attempt.score is None:
                steps.append(Step(ALGORITHM, text + f"no result ({attempt.error})", kept=False))
                continue
            text += f"{self.metric} {attempt.score:.2f}, loss {self._loss(attempt):.2f}"
            steps.append(
                Step(
                    ALGORITHM, text, self.metric.name, self.reference, attempt.score, samples, attempt.name == best.name
                )
            )
        words = "is within it" if self._holds(best) else "exceeds it, and is the best of all attempts"
        text = f"allowed loss {self.max_drop:g}: {best.name} with loss {self._loss(best):.2f} {words}"
        return [*steps, Step(ALGORITHM, text, self.metric.name, self.reference, best.score, samples)]

    def _path(self, name: str) -> Path | None:
        return None if self.folder is None else self.folder / name

    def _belongs_to(self) -> dict[str, Any]:
        """Return everything that an attempt's score depends on, besides its own recipe."""
        return run_fingerprint(
            graph_fingerprint(self.graph),
            {"calibration data": data_fingerprint(self.dataset), "evaluation data": data_fingerprint(self.scored)},
            {
                "target": self.target.name,
                "target's text": text_fingerprint(repr(self.target)),
                "metric": self.metric.fingerprint,
                **{name.replace("_", " "): value for name, value in self.base.to_json().items()},
            },
        )
