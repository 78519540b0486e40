"""Algorithms that round weights otherwise than to the nearest code, by the names that a recipe takes.

Each is imported when it runs, so that the command line lists them without loading PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from intaglio.evaluation.held_back import Samples
    from intaglio.graph import Graph
    from intaglio.plan import Plan
    from intaglio.recover.recovery import Recovery

Checkpoint: TypeAlias = "str | os.PathLike[str] | None"
Rounding: TypeAlias = "Callable[[Graph, Plan, Samples, Samples, int | None, Checkpoint], Recovery]"
"""Graph, calibrated Plan, samples to learn from, held-back samples, steps per layer (None: the algorithm's own number),
checkpoint file."""


def _gptq(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    from intaglio.recover.gptq import gptq

    return gptq(graph, plan, samples, held_back, checkpoint=checkpoint)


def _adaround(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    from intaglio.recover.adaround import adaround
    from intaglio.recover.rounding import Settings

    settings = Settings(iterations=steps or Settings.iterations)
    return adaround(graph, plan, samples, held_back, settings=settings, checkpoint=checkpoint)


def _blocks(
    graph: Graph, plan: Plan, samples: Samples, held_back: Samples, steps: int | None, checkpoint: Checkpoint
) -> Recovery:
    from intaglio.recover.reconstruction import BlockSettings, reconstruct_blocks

    settings = BlockSettings(iterations=steps or BlockSettings.iterations)
    return reconstruct_blocks(graph, plan, samples, held_back, settings=settings, checkpoint=checkpoint)


@dataclass(frozen=True)
class RoundingRow:
    """An algorithm that rounds weights.

    Args:
        run: the algorithm.
        help: what it does, for the command line; empty where the name says it.
    """

    run: Rounding
    help: str = ""


ALGORITHMS = {
    "gptq": RoundingRow(_gptq),
    "adaround": RoundingRow(_adaround, "learned layer by layer, takes minutes"),
    "blocks": RoundingRow(_blocks, "learned block by block"),
}
"""From the cheapest to the most expensive; a recipe search tries them in this order."""
