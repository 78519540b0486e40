"""What a report is made of, besides Graph and Plan. Plain numbers: none of it needs PyTorch, ONNX or a Graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.evaluation import Gate, LayerDifference, Score

if TYPE_CHECKING:  # PyTorch and ONNX are behind it
    from intaglio.plan import Step
    from intaglio.train.loop import Point

Real = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChannelRanges:
    """How the weights of a layer lie, output channel by output channel, before and after equalization.

    Args:
        layer, operator: the node's name and kind.
        channels: how many output channels it has.
        shown: their numbers, ordered by range before; evenly chosen where there are too many to draw.
        before, after: lowest, lower quartile, median, upper quartile and highest weight, (5, shown); `before` is None
            where nothing was equalized.
        spread_before, spread_after: range of the widest channel over the median channel's, of all channels.
    """

    layer: str
    operator: str
    channels: int
    shown: NDArray[np.int64]
    before: Real | None
    after: Real
    spread_before: float | None
    spread_after: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layer": self.layer,
            "operator": self.operator,
            "channels": self.channels,
            "shown": self.shown.tolist(),
            "before": None if self.before is None else rounded(self.before),
            "after": rounded(self.after),
            "spread_before": plain(self.spread_before),
            "spread_after": plain(self.spread_after),
        }


@dataclass(frozen=True, eq=False)
class ActivationHistogram:
    """What a value was in calibration, and where each calibrator would clip it.

    Args:
        value: its name.
        edges: of the bins, (B + 1,), ascending.
        counts: elements in each bin, (B,).
        low, high: exact extremes.
        calibrator: the one that was taken, where there is one.
        grid: the least and greatest number that its codes express; None before calibration.
        thresholds: (low, high) by calibrator.
    """

    value: str
    edges: Real
    counts: Counts
    low: float
    high: float
    calibrator: str = ""
    grid: tuple[float, float] | None = None
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "value": self.value,
            "low": plain(self.low),
            "high": plain(self.high),
            "edges": rounded(self.edges),
            "counts": self.counts.tolist(),
            "calibrator": self.calibrator,
            "grid": None if self.grid is None else [plain(x) for x in self.grid],
            "thresholds": {name: [plain(low), plain(high)] for name, (low, high) in self.thresholds.items()},
        }


@dataclass(frozen=True)
class OperatorCost:
    """What an integer operator costs in one run, and what each zero point adds.

        sum (x - z_x)(w - z_w) = sum x w  -  z_w sum x  -  z_x sum w  +  K z_x z_w

    Args:
        name, operator: of the Program's node.
        output: shape of its result.
        type: of its result.
        macs: multiply-accumulates of `sum x w`.
        input_sums: additions of `z_w sum x`; 0 where weights are symmetric.
        offline_terms: the terms that are in the bias and cost nothing at run time.
        weights: type of its weights; empty where it has none.
    """

    name: str
    operator: str
    output: tuple[int, ...]
    type: str
    macs: int
    input_sums: int
    offline_terms: str
    weights: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "output": list(self.output)}


@dataclass(frozen=True)
class DifferingSample:
    """A sample that the float network and the integer program see differently.

    Args:
        number: in the evaluation data, from 0.
        label: its class.
        real, integer: what the float network and the integer program predict.
        image: a `data:` address of a PNG or JPEG; None where the data are no images.
        size: width and height of the image in pixels.
    """

    number: int
    label: int
    real: int
    integer: int
    image: str | None = None
    size: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the image."""
        return {"number": self.number, "label": self.label, "float": self.real, "integer": self.integer}


@dataclass(frozen=True)
class Confusion:
    """Predictions of the float network against those of the integer program.

    Args:
        samples: how many were compared.
        cells: (float class, integer class): how often.
        outcomes: how many samples by who was right.
        names: of the classes 0, 1, ..., where they are known.
        differing: samples that differ, a bounded number of them.
    """

    samples: int
    cells: Mapping[tuple[int, int], int]
    outcomes: Mapping[str, int] = field(default_factory=dict)
    names: Sequence[str] = ()
    differing: Sequence[DifferingSample] = ()

    @property
    def changed(self) -> int:
        """On how many samples the two differ."""
        return sum(count for (a, b), count in self.cells.items() if a != b)

    def name(self, number: int) -> str:
        """What a class is called."""
        return self.names[number] if number < len(self.names) else str(number)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without images."""
        return {
            "samples": self.samples,
            "changed": self.changed,
            "outcomes": dict(self.outcomes),
            "cells": [[a, b, count] for (a, b), count in sorted(self.cells.items())],
            "names": list(self.names),
            "differing": [sample.to_json() for sample in self.differing],
        }


@dataclass(frozen=True)
class Facts:
    """Measured facts about one quantization; everything is optional, and what is missing is left out.

    Args:
        scores: by stage: float, simulated, integer.
        agreement: percent of samples with the same prediction, by pair: "simulated and integer", "float and integer".
        layers: float against the integer program, value by value.
        sensitivities: by layer, dB of output SQNR with only this layer quantized.
        gates: sanity gates.
        nbytes: parameter bytes by stage: float, integer.
        seconds: by step: load, calibrate, lower, evaluate.
        peak_memory_bytes: of the whole process.
        steps: how the network came about, and what each algorithm gained.
        channels: weights of the layers, channel by channel, before and after equalization.
        histograms: activations in calibration, with every calibrator's threshold.
        costs: of the Program's operators.
        arena: the Program's memory over time, from `codegen.picture.describe_arena`.
        confusion: predictions of the float network against those of the Program.
        target: description of the target.
        training: the course of the training, where there was one.
    """

    scores: Mapping[str, Score] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)
    layers: Sequence[LayerDifference] = ()
    sensitivities: Mapping[str, float] = field(default_factory=dict)
    gates: Sequence[Gate] = ()
    nbytes: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    steps: Sequence[Step] = ()
    channels: Sequence[ChannelRanges] = ()
    histograms: Sequence[ActivationHistogram] = ()
    costs: Sequence[OperatorCost] = ()
    arena: Mapping[str, Any] | None = None
    confusion: Confusion | None = None
    target: str = ""
    training: Sequence[Point] = ()

    def to_json(self) -> dict[str, Any]:
        """The facts as summary.json holds them: plain data, finite numbers, no images."""
        return {
            "gates": {"passed": all(g.passed for g in self.gates), "checks": [g.to_json() for g in self.gates]},
            **{stage: score.to_json() for stage, score in self.scores.items()},
            "agreement": {name: round(value, 4) for name, value in self.agreement.items()},
            "bytes": dict(self.nbytes),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_memory_bytes": self.peak_memory_bytes,
            "target": self.target,
            "layers": [layer.to_json() for layer in self.layers],
            "sensitivities": {name: plain(value) for name, value in self.sensitivities.items()},
            "history": [str(step) for step in self.steps],
            "steps": [step.to_json() for step in self.steps],
            "channels": [layer.to_json() for layer in self.channels],
            "histograms": [histogram.to_json() for histogram in self.histograms],
            "costs": [cost.to_json() for cost in self.costs],
            "arena": None if self.arena is None else dict(self.arena),
            "confusion": None if self.confusion is None else self.confusion.to_json(),
            "training": [
                {name: x if isinstance(x, str) else plain(x) for name, x in point.to_json().items()}
                for point in self.training
            ],
        }


def plain(x: float | None) -> float | None:
    """A number in five digits; None where JSON has none for it."""
    return None if x is None or not math.isfinite(x) else float(f"{x:.5g}")


def rounded(array: Real) -> Any:
    """Nested lists of numbers in five digits."""
    return [rounded(row) for row in array] if array.ndim > 1 else [plain(float(x)) for x in array]
