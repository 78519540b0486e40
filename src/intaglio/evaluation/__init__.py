"""Measures any stage on data: accuracy, agreement, signal-to-quantization-noise per layer, sanity gates."""

from intaglio.evaluation.compare import LayerDifference, compare
from intaglio.evaluation.evaluate import METRICS, Score, evaluate
from intaglio.evaluation.gates import Gate, check_gates
from intaglio.evaluation.stage import FloatStage, NativeStage, ProgramStage, SimulatedStage, Stage

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
