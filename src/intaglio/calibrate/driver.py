"""Calibration: data and weights in, every parameter of the Plan out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from intaglio.calibrate.derive import derive_biases
from intaglio.errors import CalibrationError
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.number import choose_params
from intaglio.ops import Role
from intaglio.plan import Plan
from intaglio.simulate import Simulator


class Batches(Protocol):
    """What calibration needs of a data set."""

    def batches(self, n: int) -> Iterable[tuple[Any, Any]]:
        """(x, y) in batches of n samples."""


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` found."""

    plan: Plan
    history: list[str] = field(default_factory=list)


def calibrate(
    graph: Graph,
    plan: Plan,
    dataset: Batches,
    *,
    calibrator: str | None = None,
    weight_calibrator: str | None = None,
    batch_size: int = 8,
    device: str | None = None,
) -> Calibration:
    """First version: min-max only."""
    plan = plan.copy()
    names = {v.name for v in plan.calibrated()}
    low: dict[str, float] = {}
    high: dict[str, float] = {}

    def observe(name: str, x: torch.Tensor) -> None:
        if name in names:
            a, b = (float(v) for v in torch.aminmax(x))
            low[name], high[name] = min(a, low.get(name, a)), max(b, high.get(name, b))

    simulator = Simulator(graph, device=device)
    for x, _ in dataset.batches(batch_size):
        arrays = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, tuple) else [x]
        simulator.run(*arrays, observe=observe)
    if not low:
        raise CalibrationError("calibration data: expected at least one sample, got none")
    for value in plan.calibrated():
        assert value.format is not None
        value.params = choose_params(low[value.name], high[value.name], value.format.type, value.format.scheme)
    for role in (Role.WEIGHT, Role.SIDE):
        for value in plan.calibrated(role):
            assert value.format is not None
            array = constant(graph.value(value.name))
            assert array is not None
            blocks = value.format.granularity.blocks(np.asarray(array, np.float32))
            value.params = choose_params(blocks.min(-1), blocks.max(-1), value.format.type, value.format.scheme, value.format.granularity)
    derive_biases(graph, plan)
    return Calibration(plan, ["calibrated with max"])
