"""Sensitivity for the report: of every layer, and only where it takes seconds."""

from __future__ import annotations

import numpy as np
import pytest

import intaglio as ig
from intaglio.search.quick_sensitivities import BUDGET, quick_sensitivities


def test_every_layer_and_input_has_one(quantized: ig.Quantized, images: np.ndarray) -> None:
    found = quick_sensitivities(quantized.graph, quantized.plan, quantized.reference, [images], 7000)
    assert {"conv", "head", "x"} <= set(found)
    assert all(np.isfinite(ratio) and ratio > 10 for ratio in found.values())


def test_nothing_is_measured_beyond_the_budget(quantized: ig.Quantized, images: np.ndarray) -> None:
    assert quick_sensitivities(quantized.graph, quantized.plan, None, [images], BUDGET) == {}


def test_networks_that_cannot_be_compared_are_refused(quantized: ig.Quantized, images: np.ndarray) -> None:
    other = ig.Quantized(quantized.graph.copy(), quantized.plan)
    other.graph.nodes[0].name = "renamed"
    with pytest.raises(ig.IntaglioError):
        quick_sensitivities(quantized.graph, quantized.plan, other.graph, [images], 7000)
