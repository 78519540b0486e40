"""Data classes of a report's measured facts: plain numbers, without PyTorch, ONNX or a Graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.evaluation import Gate, LayerDifference, Score
from intaglio.evaluation.curve import Point
from intaglio.report.energy import Energy, estimated_energy

if TYPE_CHECKING:  # PyTorch and ONNX are behind it
    from intaglio.plan import Step

Real = NDArray[np.float64]
Counts = NDArray[np.int64]


SCALES_OF_FILE = "scales of the file"
"""What `Facts.target` says of a network that another tool quantized."""
FLOAT_OF_FILE = (
    "float: the network of the file without rounding, its values limited to the ranges of the file, as tools leave out "
    "a Relu or Clip that a range replaces; to see the whole loss, compare with the network that it was made from"
)
"""What "float" means of such a network."""


@dataclass(frozen=True, eq=False)
class ChannelRanges:
    """Weight ranges of a layer by output channel, before and after equalization.

    Args:
        layer, operator: the node's name and operator type.
        channels: number of output channels.
        shown: indices of the drawn channels, ordered by range before equalization; evenly chosen if there are many.
        before, after: lowest, lower quartile, median, upper quartile and highest weight, (5, len(shown)); `before` is
            None without equalization.
        spread_before, spread_after: range of the widest channel divided by that of the median channel.
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
        """Return plain data."""
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
    """Histogram of a value in calibration, and the range that each calibrator would choose.

    Args:
        value: name of the value.
        edges: bin edges, (B + 1,), ascending.
        counts: elements in each bin, (B,).
        low, high: exact minimum and maximum.
        calibrator: the calibrator that was used; empty if none.
        grid: smallest and largest real number that the codes represent; None before calibration.
        thresholds: (low, high) by calibrator name.
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
        """Return plain data."""
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
    """Cost of an integer operator in one run, term by term.

        sum (x - z_x)(w - z_w) = sum x w  -  z_w sum x  -  z_x sum w  +  K z_x z_w

    Args:
        name, operator: name and kind of the Program's node.
        output: output shape.
        type: output type.
        macs: multiply-accumulates of `sum x w`.
        input_sums: additions of `z_w sum x`; 0 with symmetric weights.
        offline_terms: terms that are folded into the bias and cost nothing at run time.
        weights: type of the weights; empty without weights.
        accumulator_bits: bits, sign included, that no sum exceeds for any input; proved from the weights. 0 for
            operators without sums.
        accumulator: bits of the integers that the sums are computed in, 32 or 64; 0 without sums.
        operand_bits: bits of both factors of a multiplication, as they are stored; empty without multiplications.
        moved: bytes of the tensors that are read and written, once each.
        elements: their number of elements.
        parameters: bytes of weights, biases and constant operands.
        parameter_elements: their number of elements.
    """

    name: str
    operator: str
    output: tuple[int, ...]
    type: str
    macs: int
    input_sums: int
    offline_terms: str
    weights: str = ""
    accumulator_bits: int = 0
    accumulator: int = 0
    operand_bits: tuple[int, ...] = ()
    moved: int = 0
    elements: int = 0
    parameters: int = 0
    parameter_elements: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "output": list(self.output), "operand_bits": list(self.operand_bits)}


@dataclass(frozen=True)
class Latency:
    """Latency of the compiled program for one sample.

    Args:
        nanoseconds: median.
        runs: number of timed runs.
        machine, processor: what it was compiled for, and what it ran on.
        threads: number of threads.
    """

    nanoseconds: float
    runs: int
    machine: str
    processor: str
    threads: int = 1

    @property
    def per_second(self) -> float:
        """Samples in a second, one after the other."""
        return 1e9 / self.nanoseconds

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "nanoseconds": round(self.nanoseconds, 1), "per_second": plain(self.per_second)}


@dataclass(frozen=True)
class DifferingSample:
    """Sample for which the float network and the integer program predict different classes.

    Args:
        number: index in the evaluation data, from 0.
        label: true class.
        real, integer: predictions of the float network and of the integer program.
        image: `data:` URL of a PNG or JPEG; None if the data are not images.
        size: width and height of the image in pixels.
    """

    number: int
    label: int
    real: int
    integer: int
    image: str | None = None
    size: tuple[int, int] = (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without the image."""
        return {"number": self.number, "label": self.label, "float": self.real, "integer": self.integer}


@dataclass(frozen=True)
class Confusion:
    """Predictions of the float network compared with those of the integer program.

    Args:
        samples: number of compared samples.
        cells: number of samples by (float class, integer class).
        outcomes: number of samples by which of the two was right.
        names: names of the classes 0, 1, ..., if known.
        differing: some of the samples with different predictions.
    """

    samples: int
    cells: Mapping[tuple[int, int], int]
    outcomes: Mapping[str, int] = field(default_factory=dict)
    names: Sequence[str] = ()
    differing: Sequence[DifferingSample] = ()

    @property
    def changed(self) -> int:
        """Number of samples with different predictions."""
        return sum(count for (a, b), count in self.cells.items() if a != b)

    def name(self, number: int) -> str:
        """Return the name of a class, or its number if it has no name."""
        return self.names[number] if number < len(self.names) else str(number)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without images."""
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
    """Measured facts about one quantization. All are optional; the page leaves out sections without data.

    Args:
        scores: score by stage: float, simulated, integer.
        agreement: percent of samples with the same prediction, by pair: "simulated and integer", "float and integer".
        layers: differences between the float network and the integer program, by value.
        sensitivities: output SQNR in dB with only this layer quantized, by layer.
        gates: results of the sanity checks.
        nbytes: parameter bytes by stage: float, integer.
        seconds: seconds by step: load, calibrate, lower, evaluate.
        peak_memory_bytes: peak memory of the process.
        steps: history, with what each algorithm gained.
        channels: weight ranges by layer and channel, before and after equalization.
        histograms: activation histograms with the ranges of all calibrators.
        costs: costs of the Program's operators.
        latency: latency of the compiled Program; None where it was not compiled.
        arena: memory plan of the Program, from `codegen.picture.describe_arena`.
        confusion: predictions of the float network compared with those of the Program.
        target: description of the target.
        training: training curve; empty without training.
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
    latency: Latency | None = None
    arena: Mapping[str, Any] | None = None
    confusion: Confusion | None = None
    target: str = ""
    training: Sequence[Point] = ()

    @property
    def energy(self) -> Energy | None:
        """Estimated energy of one run; None without costs."""
        return estimated_energy(self.costs, (self.arena or {}).get("bytes")) if self.costs else None

    def to_json(self) -> dict[str, Any]:
        """Return the facts as in summary.json: plain data, finite numbers, no images."""
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
            "energy": None
            if not self.costs
            else estimated_energy(self.costs, (self.arena or {}).get("bytes")).to_json(),
            "latency": None if self.latency is None else self.latency.to_json(),
            "arena": None if self.arena is None else dict(self.arena),
            "confusion": None if self.confusion is None else self.confusion.to_json(),
            "training": [
                {name: x if isinstance(x, str) else plain(x) for name, x in point.to_json().items()}
                for point in self.training
            ],
        }


def plain(x: float | None) -> float | None:
    """Round to five significant digits; None for NaN and infinity, which JSON lacks."""
    return None if x is None or not math.isfinite(x) else float(f"{x:.5g}")


def rounded(array: Real) -> Any:
    """Convert an array to nested lists, rounded to five significant digits."""
    return [rounded(row) for row in array] if array.ndim > 1 else [plain(float(x)) for x in array]
