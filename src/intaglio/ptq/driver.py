"""Carry out a recipe of post-training quantization; each algorithm is kept only where it measures better.

    constant channels -> equalization -> activation equalization -> calibration -> weight clamp -> rounding
    -> bias correction

The rows of `ptq.recipe.Recipe` are these algorithms, in this order.
Algorithms that change the Graph come before calibration, as its values are then new; those that change codes after it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache, partial
from itertools import islice
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from intaglio.calibrate import calibrate
from intaglio.calibrate.no_data import NoData
from intaglio.calibrate.parameters.choose_params import Named
from intaglio.errors import UsageError
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.plan import Plan, Step, place, separate_operands
from intaglio.plan.given_plan import GivenPlan
from intaglio.ptq.data_free import quantize_without_data
from intaglio.ptq.recipe import NEAREST, Recipe, recovery_rows
from intaglio.ptq.roundings import ALGORITHMS
from intaglio.ptq.weak_masks import masks_as_sums, weak_masks, without_masks
from intaglio.quantized import Quantized
from intaglio.recover.bias_correction import corrected_by_means
from intaglio.recover.recovery import Recovery
from intaglio.targets import Target

TRIAL_SAMPLES = 96
LEARNING_SAMPLES = 512
LEARNING_BYTES = 256 << 20
"""Of inputs that are kept in memory while rounding is learned: every layer reads them again."""


class Calibrators(TypedDict):
    """The calibrators of a recipe, as keyword arguments of several functions."""

    calibrator: Named
    weight_calibrator: Named


class Data(Protocol):
    """A data set that can be read more than once (`intaglio.data.Dataset` is one)."""

    def batches(self, n: int) -> Iterator[tuple[Any, Any]]:
        """Yield (x, y) in batches of n samples."""


def quantize_graph(
    graph: Graph,
    target: Target,
    dataset: Data | NoData,
    recipe: Recipe,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    plan: Plan | None = None,
) -> Quantized:
    """Quantize a float network.

    Args:
        graph: in normal form; it is left as it is.
        target: the hardware.
        dataset: calibration inputs, read several times if any algorithm recovers accuracy; or NoData.
        recipe: calibrators and algorithms.
        checkpoint: a file that learned rounding writes after each layer, so that an interrupted run continues.
        plan: formats, calibrators and given parameters (see `plan.given_plan`); the recipe then has no layers.
    Raises:
        PlanError: the Plan does not fit the network or the target.
        TargetError, UnsupportedOperatorError: the target cannot run the network so; raised before any calibration.
        DataError, CalibrationError: the data do not fit, or give no finite range.
        UsageError: a checkpoint of other settings; an algorithm that needs data, without any.
    """
    if plan is not None and (sums := masks_as_sums(graph, plan)):
        graph = without_masks(graph, sums)
    given = None if plan is None else GivenPlan(plan, graph, target)

    def placed(candidate: Graph) -> Plan:
        if given is not None:
            return given.place(candidate)
        named = recipe.weight_calibrator if isinstance(recipe.weight_calibrator, str) else None
        return place(candidate, target, layers=recipe.layers, weight_calibrator=named)

    def again(weak: Mapping[str, str]) -> Quantized:
        """Begin anew with the masks that scores outweigh as sums."""
        changed = without_masks(prepared, weak)
        changed.history += weak.values()
        return quantize_graph(changed, target, dataset, recipe, checkpoint=checkpoint, plan=plan)

    prepared = graph
    graph = separate_operands(graph, target, recipe.layers if given is None else given.layers(graph))
    placed(graph)
    steps = [Step("graph", sentence) for sentence in graph.history]
    if given is not None:
        steps.append(Step("plan", given.sentence(graph)))
    if isinstance(dataset, NoData):
        made_without = _without_data(graph, placed, dataset, recipe, steps)
        weak = weak_masks(made_without.graph, made_without.plan)
        return again(weak) if weak else made_without
    some = cache(partial(split, dataset, graph, TRIAL_SAMPLES))  # read only if an algorithm needs them
    by: Calibrators = {"calibrator": recipe.calibrator, "weight_calibrator": recipe.weight_calibrator}
    rows = recovery_rows()
    for name, row in rows.items():
        if row.before_calibration and getattr(recipe, name):
            graph, taken = row.load()(graph, placed, dataset, *some(), **by)
            steps += taken
    correct = corrected_by_means(graph, lambda: some()[0]) if recipe.bias_correction else None
    found = calibrate(graph, placed(graph), dataset, correct=correct, **by)
    if weak := weak_masks(graph, found.plan):  # before the algorithms that take long
        return again(weak)
    made = Recovery(graph, found.plan, [*steps, *found.steps])
    for name in (one.name for one in fields(recipe)):
        if name == "rounding" and recipe.rounding != NEAREST:
            made = _then(made, _rounded(made, dataset, recipe, checkpoint))
        elif name in rows and not rows[name].before_calibration and getattr(recipe, name):
            made = _then(made, rows[name].load()(made.graph, made.plan, *some(), reference=graph))
    return Quantized(made.graph, made.plan, made.steps, prepared, found.statistics, graph)


def _without_data(
    graph: Graph, placed: Callable[[Graph], Plan], dataset: NoData, recipe: Recipe, steps: list[Step]
) -> Quantized:
    asked = [name for name, row in recovery_rows().items() if getattr(recipe, name) and not row.without_data]
    if recipe.rounding != NEAREST:
        asked.append(f"rounding by {recipe.rounding}")
    for what in asked:
        raise UsageError(f"{what}: expected data to measure on, got none; give data, or let them be synthesized")
    made = quantize_without_data(
        graph,
        placed,
        input_range=dataset.input_range,
        calibrator=recipe.calibrator,
        weight_calibrator=recipe.weight_calibrator,
        equalize=recipe.equalize,
        bias_correction=recipe.bias_correction,
    )
    return Quantized(made.graph, made.plan, [*steps, *made.steps], graph, made.statistics, made.reference)


def _then(before: Recovery, after: Recovery) -> Recovery:
    """Continue from the result of the next algorithm; the history keeps the steps of both."""
    return Recovery(after.graph, after.plan, [*before.steps, *after.steps])


def _rounded(made: Recovery, dataset: Data, recipe: Recipe, checkpoint: str | os.PathLike[str] | None) -> Recovery:
    """Weights rounded as the recipe says."""
    graph, plan = made.graph, made.plan
    nbytes = sum(4 * math.prod(shape(value)) for value in graph.inputs)
    some = split(dataset, graph, max(1, min(LEARNING_SAMPLES, LEARNING_BYTES // max(nbytes, 1))), 32)
    return ALGORITHMS[recipe.rounding].run(graph, plan, *some, recipe.iterations, checkpoint)


def split(dataset: Data, graph: Graph, count: int, batch: int = 8) -> tuple[ArraySamples, ArraySamples]:
    """Read the first samples and split them into those to learn from and those held back (see `ArraySamples.split`).

    Args:
        dataset: the samples.
        graph: the network that takes them.
        count: number of samples to read at most.
        batch: samples that the algorithm takes at a time.
    """
    return ArraySamples(_first(dataset, [str(v.name) for v in graph.inputs], count), batch).split()


def _first(dataset: Data, names: list[str], count: int) -> list[NDArray[Any]]:
    """Read the first samples, one array per input."""
    size = min(8, count)
    batches = [_in_order(x, names) for x, _ in islice(dataset.batches(size), -(-count // size))]
    return [np.concatenate(parts)[:count] for parts in zip(*batches, strict=True)]


def _in_order(x: Any, names: list[str]) -> list[NDArray[Any]]:
    if isinstance(x, dict):
        return [np.asarray(x[name]) for name in names]
    return [np.asarray(a) for a in (x if isinstance(x, (tuple, list)) else (x,))]
