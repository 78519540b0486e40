"""Where the time of a native run goes: step by step, with the work of each and its share of what the machine can do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.model import Model
from intaglio.program import Node, Program


@dataclass(frozen=True)
class StepTime:
    """One step of a run.

    Args:
        name: the nodes that it runs.
        kind: their operators.
        kernel: the function that runs them.
        nanoseconds: median over runs, for one sample.
        macs: multiply-adds for one sample.
        share: of the run's time, 0 to 1.
        of_peak: multiply-adds per second as a part of the machine's peak, 0 to 1; None where that was not given or
            there are none.
    """

    name: str
    kind: str
    kernel: str
    nanoseconds: float
    macs: int
    share: float
    of_peak: float | None

    def to_json(self) -> dict[str, Any]:
        """As `bench --json` prints it."""
        return asdict(self)


def profile_steps(model: Model, nanoseconds: NDArray[np.float64], peak: float | None) -> list[StepTime]:
    """The steps with their times.

    Args:
        model: whose steps they are.
        nanoseconds: per run and step, for one sample.
        peak: multiply-adds per second.
    """
    medians = np.median(nanoseconds, axis=0)
    total = max(float(medians.sum()), 1.0)
    rows = []
    for step, time in zip(model.steps, medians.tolist(), strict=False):
        macs = sum(node_macs(model.program, node) for node in step.nodes)
        of_peak = macs / max(time, 1.0) * 1e9 / peak if peak and macs else None
        rows.append(StepTime(step.name, step.kind, step.call.function, time, macs, time / total, of_peak))
    return rows


def program_macs(program: Program) -> int:
    """Multiply-adds of one sample in convolutions and matrix products."""
    return sum(node_macs(program, node) for node in program.nodes)


def node_macs(program: Program, node: Node) -> int:
    """Multiply-adds of one node for one sample; 0 for operators that are no products."""
    return node.operator.accumulators(*(program.tensors[name].shape for name in node.inputs))
