"""The room `evaluation` under the name that it had, for scripts that were written then."""

import sys

from intaglio.evaluation import (
    METRICS,
    FloatStage,
    Gate,
    LayerDifference,
    NativeStage,
    ProgramStage,
    Score,
    SimulatedStage,
    Stage,
    check_gates,
    compare,
    evaluate,
    gates,
    model_stages,
    stage,
)

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

for _name, _module in (("gates", gates), ("run", model_stages), ("stage", stage)):
    sys.modules[f"{__name__}.{_name}"] = _module
