"""Programs: integer operators over integer tensors, their reference interpreter, verifier and file. NumPy only."""

import importlib
import pkgutil

from intaglio.program import operators
from intaglio.program.file import load_program
from intaglio.program.operator import OPERATORS, Operator
from intaglio.program.program import Node, Program, TensorInfo

# Every module of the folder registers its operators, so that adding a file is all there is to adding an operator.
for _module in pkgutil.iter_modules(operators.__path__):
    importlib.import_module(f"{operators.__name__}.{_module.name}")

__all__ = ["OPERATORS", "Node", "Operator", "Program", "TensorInfo", "load_program"]
