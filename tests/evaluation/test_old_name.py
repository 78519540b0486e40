"""Scripts that know the room `evaluation` as `intaglio.measure` go on working."""

from __future__ import annotations

import subprocess
import sys

OLD = """
from intaglio.measure.stage import SimulatedStage
from intaglio.measure.run import data_for, stage_of
import intaglio.measure.gates
from intaglio.measure import *
from intaglio import evaluation
assert FloatStage is evaluation.FloatStage and SimulatedStage is evaluation.SimulatedStage
assert compare is evaluation.compare and evaluate is evaluation.evaluate
"""


def test_every_old_spelling() -> None:
    done = subprocess.run([sys.executable, "-c", OLD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_names() -> None:
    import intaglio.measure

    assert sorted(intaglio.measure.__all__) == sorted(intaglio.evaluation.__all__)
