"""Algorithms that round weights otherwise than to the nearest code, by the names that a recipe takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.adaround import adaround
from intaglio.recover.gptq import gptq
from intaglio.recover.reconstruction import BlockSettings, reconstruct_blocks
from intaglio.recover.recovery import Recovery
from intaglio.recover.rounding import Settings

Checkpoint: TypeAlias = "str | os.PathLike[str] | None"
Rounding = Callable[[Graph, Plan, Samples, Samples, int | None, Checkpoint], Recovery]
"""Graph, calibrated Plan, samples to learn from, held-back samples, steps per layer (None: the algorithm's own number),
checkpoint file."""


def _gptq(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    return gptq(graph, plan, samples, held_back, checkpoint=checkpoint)


def _adaround(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    settings = Settings(iterations=steps or Settings.iterations)
    return adaround(graph, plan, samples, held_back, settings=settings, checkpoint=checkpoint)


def _blocks(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    settings = BlockSettings(iterations=steps or BlockSettings.iterations)
    return reconstruct_blocks(graph, plan, samples, held_back, settings=settings, checkpoint=checkpoint)


ALGORITHMS: dict[str, Rounding] = {"gptq": _gptq, "adaround": _adaround, "blocks": _blocks}
"""From the cheapest to the most expensive; a recipe search tries them in this order."""
