"""Find entries of `layers` and `ignored` that change no format."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.graph import Graph
from intaglio.plan.place import place
from intaglio.plan.separate_operands import separate_operands
from intaglio.plan.step import Step
from intaglio.targets import Target


def without_effect(graph: Graph, target: Target, layers: Mapping[str, str]) -> list[Step]:
    """Say which entries change nothing, as the target or another entry gives the layers these formats anyway.

    Args:
        graph: in normal form.
        target, layers: as for `place`.
    """
    if not layers:
        return []
    separated = separate_operands(graph, target, layers)
    formats = _formats(separated, target, layers)
    unused = [p for p in layers if _formats(separated, target, {k: v for k, v in layers.items() if k != p}) == formats]
    return [
        Step("layers", f"{pattern}={layers[pattern]} has no effect: its layers have the same formats without it")
        for pattern in unused
    ]


def _formats(graph: Graph, target: Target, layers: Mapping[str, str]) -> dict[str, object]:
    return {name: value.format for name, value in place(graph, target, layers=layers).values.items()}
