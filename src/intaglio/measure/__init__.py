"""Measures any stage on data: accuracy, agreement, signal-to-quantization-noise per layer, sanity gates."""

from intaglio.measure.compare import LayerDifference, compare
from intaglio.measure.evaluate import METRICS, Score, evaluate
from intaglio.measure.gates import Gate, check_gates
from intaglio.measure.stage import FloatStage, NativeStage, ProgramStage, SimulatedStage, Stage

__all__ = [
    "METRICS",
    "FloatStage",
    "Gate",
    "LayerDifference",
    "NativeStage",
    "ProgramStage",
    "Score",
    "SimulatedStage",
    "Stage",
    "check_gates",
    "compare",
    "evaluate",
]
