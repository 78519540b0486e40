"""Hardware targets: formats that each operator supports, and the rounding rule.

`intaglio.targets()` lists them: the package itself can be called.
"""

from intaglio.callable_package import make_callable
from intaglio.targets.target import BUILTIN, OperatorRow, Target, TensorFormat, load_target
from intaglio.targets.target_list import Targets, targets

__all__ = ["BUILTIN", "OperatorRow", "Target", "Targets", "TensorFormat", "load_target"]

make_callable(__name__, targets)
