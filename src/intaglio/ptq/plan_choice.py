"""What a given Plan leaves to choose: its target, and a recipe without formats and calibrators of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from intaglio.calibrate import parse_calibrator
from intaglio.errors import PlanError, TargetError, UsageError
from intaglio.plan import Plan, load_plan
from intaglio.plan.plan_records import ValuePlan
from intaglio.ptq.recipe import Recipe
from intaglio.targets import BUILTIN, Target, load_target
from intaglio.targets.target import AUTO

DEFAULT_TARGET = "cpu-int8"


def with_plan(
    plan: Plan | str | os.PathLike[str], target: str | Path | Target, recipe: Recipe, *, searched: bool
) -> tuple[Plan, Target, Recipe]:
    """Read a Plan that is given beside other choices.

    Args:
        plan: a Plan, or the file of one.
        target: asked for; the default means that of the Plan.
        recipe: asked for; its calibrators and layers must be the default ones.
        searched: whether recipes are to be searched, which decide what the Plan decides.
    Returns:
        The Plan, its target, and the recipe that leaves calibrators to the Plan.
    Raises:
        UsageError: a choice that the Plan makes.
        PlanError: the Plan cannot be read, names no calibrator where it should, or is for another target.
    """
    if not isinstance(plan, Plan | str | os.PathLike):
        raise UsageError(f"plan: expected a Plan, such as q.plan, or the file of one, got {type(plan).__name__}")
    found = plan if isinstance(plan, Plan) else load_plan(plan)
    given = {
        "layer": recipe.layers,
        "calibrator": recipe.calibrator != AUTO and recipe.calibrator,
        "weight_calibrator": recipe.weight_calibrator,
        "max_drop": searched,
    }
    named = [name for name, value in given.items() if value]
    if named:
        raise UsageError(
            f"plan: expected no {', '.join(named)} beside a Plan, which holds formats and calibrators, got both; edit "
            "the Plan"
        )
    try:
        described = load_target(found.target if target == DEFAULT_TARGET else target)
    except TargetError as error:
        if target != DEFAULT_TARGET or found.target in BUILTIN:
            raise
        raise PlanError(
            f"plan: target: expected a built-in target, or the TOML file of target {found.target!r} as target, got none"
        ) from error
    for value in found.values.values():
        _check_calibrator(value)
    names = {value.calibrator for value in found.calibrated()}
    one = next(iter(names)) if len(names) == 1 else None  # trials of recovery algorithms use it too
    return found, described, replace(recipe, calibrator=one)


def _check_calibrator(value: ValuePlan) -> None:
    """Refuse a calibrator that does not exist, with the name of the value."""
    if value.calibrator is None:
        return
    try:
        parse_calibrator(value.calibrator)
    except UsageError as error:
        raise PlanError(f"plan: [value {value.name!r}] {error}") from None
