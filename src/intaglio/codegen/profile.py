"""Profile a native run: time, multiply-adds and share of the machine's peak of each step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.codegen.model import Model
from intaglio.program import Node, Program


@dataclass(frozen=True)
class StepTime:
    """Time of one step.

    Args:
        name: names of its nodes.
        kind: operators of its nodes.
        kernel: C function of the kernel.
        nanoseconds: median time over runs, for one sample.
        macs: multiply-adds for one sample.
        share: fraction of the run's time, 0 to 1.
        of_peak: multiply-adds per second as a fraction of the machine's peak, 0 to 1; None if the peak is unknown or
            the step has no multiply-adds.
    """

    name: str
    kind: str
    kernel: str
    nanoseconds: float
    macs: int
    share: float
    of_peak: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, as in `bench --json`."""
        return asdict(self)


def profile_steps(model: Model, nanoseconds: NDArray[np.float64], peak: float | None) -> list[StepTime]:
    """Combine a model's steps with their times.

    Args:
        model: the model.
        nanoseconds: (runs, steps), for one sample.
        peak: the machine's peak in multiply-adds per second; None if unknown.
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
    """Return the multiply-adds of one sample in convolutions and matrix products."""
    return sum(node_macs(program, node) for node in program.nodes)


def node_macs(program: Program, node: Node) -> int:
    """Return the multiply-adds of one node for one sample; 0 for operators that are not products."""
    return node.operator.macs(*(program.tensors[name].shape for name in node.inputs))
