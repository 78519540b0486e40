"""Sanity gates: checks that a quantized network is usable at all; a report names failed ones in its first line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.evaluation.compare import LayerDifference
from intaglio.evaluation.evaluate import Evaluation

SQNR_FLOOR = 5.0
"""dB; below it a layer's noise is more than a third of its signal's amplitude."""


@dataclass(frozen=True)
class Gate:
    """One check: its name, whether it passed, and the numbers behind it."""

    name: str
    passed: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Convert to plain data."""
        return dict(self.__dict__)


def check_gates(
    evaluation: Evaluation | None, layers: Sequence[LayerDifference] | None, classes: int | None = None
) -> list[Gate]:
    """Check the last stage of an evaluation, and the layers of a comparison with float.

    Args:
        evaluation: with the integer program as its last stage; None where there was no labelled data.
        layers: float against integer; None where there is no float network of these weights.
        classes: number of outputs, for the level of chance.
    """
    gates = [] if layers is None else [_layer_gate(layers)]
    if evaluation is None:
        return gates
    gates.append(
        Gate(
            "finite",
            evaluation.finite[-1],
            "every output is finite" if evaluation.finite[-1] else "NaN or infinite outputs",
        )
    )
    metric = evaluation.metric
    if evaluation.classes:
        kinds = len(np.unique(evaluation.predictions[-1]))
        wanted = len(np.unique(evaluation.predictions[0]))
        gates.append(
            Gate("not degenerate", kinds > 1 or wanted <= 1, f"{kinds} classes predicted, float predicts {wanted}")
        )
        if classes and classes > 1 and metric.chance is not None:
            chance, value = metric.chance(classes), evaluation.scores[-1].value
            gates.append(Gate("above chance", value > chance, f"{value:.2f} % against {chance:.2f} % by chance"))
    return gates


def _layer_gate(layers: Sequence[LayerDifference]) -> Gate:
    weak = [layer for layer in layers if layer.sqnr < SQNR_FLOOR]
    worst = min(layers, key=lambda layer: layer.sqnr, default=None)
    detail = (
        "no layer was compared"
        if worst is None
        else f"worst layer {worst.name}: {worst.sqnr:.1f} dB (floor {SQNR_FLOOR:.0f} dB)"
    )
    return Gate("layer SQNR", not weak, detail)
