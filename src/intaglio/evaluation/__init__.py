"""Measures any stage on data: accuracy, agreement, signal-to-quantization-noise per layer, sanity gates."""

from intaglio.evaluation.compare import LayerDifference, compare
from intaglio.evaluation.evaluate import Score, evaluate
from intaglio.evaluation.gates import Gate, check_gates
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.metric_registry import METRICS, metric_of
from intaglio.evaluation.stage import FloatStage, NativeStage, ProgramStage, SimulatedStage, Stage

__all__ = [
    "METRICS",
    "FloatStage",
    "Gate",
    "LayerDifference",
    "Metric",
    "NativeStage",
    "ProgramStage",
    "Score",
    "SimulatedStage",
    "Stage",
    "check_gates",
    "compare",
    "evaluate",
    "metric_of",
]
