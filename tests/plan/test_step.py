"""A step keeps its numbers through JSON, infinite ones too."""

from __future__ import annotations

import json
import math

import pytest

from intaglio.plan import Step
from intaglio.plan.step import SQNR, trial_step


@pytest.mark.parametrize("before, after", [(12.5, 20.0), (-math.inf, math.inf), (3.0, -math.inf)])
def test_a_step_survives_json(before: float, after: float) -> None:
    step = trial_step("bias correction", "4 layers", before, after, 12, kept=after > before)
    again = Step.from_json(json.loads(json.dumps(step.to_json(), allow_nan=False)))
    assert again == step
    assert again.metric == SQNR


def test_the_text_has_the_numbers_and_the_decision() -> None:
    assert str(trial_step("x", "tried", 12.5, 11.25, 12, kept=False)) == (
        "tried: output SQNR 12.50 -> 11.25 dB on 12 held-back samples; reverted"
    )
