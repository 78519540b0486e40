"""Intaglio converts trained float networks into integer-only programs.

Public names are imported on first use, so that `import intaglio` needs only NumPy and safetensors, and running a
Program never imports PyTorch or ONNX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from intaglio.callable_package import make_callable

if TYPE_CHECKING:
    from intaglio.api import Quantized, freeze, load, load_quantized, prepare_qat, quantize
    from intaglio.bench.latency import bench
    from intaglio.codegen.native import NativeProgram, compile
    from intaglio.data.descriptor import pictures
    from intaglio.errors import IntaglioError
    from intaglio.graph import Graph
    from intaglio.plan import Plan, load_plan
    from intaglio.program import Program, load_program
    from intaglio.targets.target_list import targets
    from intaglio.workflow.inspection import inspect
    from intaglio.workflow.model_comparison import compare
    from intaglio.workflow.model_score import evaluate
    from intaglio.workflow.train_call import train

__version__ = "0.1.0"

_HOMES = {
    "Graph": "intaglio.graph",
    "IntaglioError": "intaglio.errors",
    "NativeProgram": "intaglio.codegen.native",
    "Plan": "intaglio.plan",
    "Program": "intaglio.program",
    "Quantized": "intaglio.api",
    "bench": "intaglio.bench.latency",
    "compare": "intaglio.workflow.model_comparison",
    "compile": "intaglio.codegen.native",
    "evaluate": "intaglio.workflow.model_score",
    "freeze": "intaglio.api",
    "inspect": "intaglio.workflow.inspection",
    "load": "intaglio.api",
    "load_plan": "intaglio.plan",
    "load_program": "intaglio.program",
    "load_quantized": "intaglio.api",
    "pictures": "intaglio.data.descriptor",
    "prepare_qat": "intaglio.api",
    "quantize": "intaglio.api",
    "targets": "intaglio.targets.target_list",
    "train": "intaglio.workflow.train_call",
}

__all__ = [
    "Graph",
    "IntaglioError",
    "NativeProgram",
    "Plan",
    "Program",
    "Quantized",
    "bench",
    "compare",
    "compile",
    "evaluate",
    "freeze",
    "inspect",
    "load",
    "load_plan",
    "load_program",
    "load_quantized",
    "pictures",
    "prepare_qat",
    "quantize",
    "targets",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'intaglio' has no attribute {name!r}; it has {', '.join(__all__)}")
    return _public(name)


def _public(name: str) -> Any:
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("intaglio"):
            raise
        from intaglio.errors import UsageError

        raise UsageError(
            f"intaglio.{name} needs the package {error.name}, which is not installed; pip install 'intaglio[quantize]'"
        ) from error


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not TYPE_CHECKING:
    # `intaglio.train` is a package with public names (`intaglio.train.nn`), and a function of a room above it
    import_module("intaglio.train")
    make_callable("intaglio.train", load=lambda: _public("train"))
