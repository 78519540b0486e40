"""Hardware targets: formats that each operator supports, and the rounding rule."""

from intaglio.targets.target import BUILTIN, OperatorRow, Target, TensorFormat, load_target

__all__ = ["BUILTIN", "OperatorRow", "Target", "TensorFormat", "load_target"]
