"""Hardware descriptions: which formats each operator may have, how results are rounded."""

from intaglio.targets.target import BUILTIN, OperatorRow, Target, TensorFormat, load_target

__all__ = ["BUILTIN", "OperatorRow", "Target", "TensorFormat", "load_target"]
