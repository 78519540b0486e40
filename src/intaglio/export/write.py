"""An ONNX model to a file: checked first, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir

from intaglio.errors import ExportError

# Protobuf cannot hold 2 GiB; beyond this the weights go to a file beside the model.
_LARGEST_PROTOBUF = 2**31 - 2**24


def write_checked(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write a model, check the file, and only then give it its name. Weights beyond 2 GB go to `<path>.data`.

    Raises:
        ExportError: the file cannot be written, or ONNX's checker or ONNX Runtime does not accept it.
    """
    target = Path(path)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    data = f"{target.name}.data" if size > _LARGEST_PROTOBUF else None
    try:
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a directory")
        with tempfile.TemporaryDirectory(prefix=".intaglio-", dir=target.parent) as folder:
            written = Path(folder) / target.name
            ir.save(model, written, external_data=data)
            _check(target, written)
            if data is not None:
                os.replace(written.with_name(data), target.with_name(data))
            os.replace(written, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{target}: expected to write the QDQ model here, got: {reason}") from error


def _check(target: Path, written: Path) -> None:
    try:
        onnx.checker.check_model(str(written), full_check=True)
    except Exception as error:
        raise ExportError(f"{target}: expected valid ONNX, got: {_one_line(error)}") from error
    try:
        import onnxruntime
    except ImportError:  # a check for those who have it
        return
    levels = onnxruntime.GraphOptimizationLevel
    for level, how in ((levels.ORT_DISABLE_ALL, "as it is"), (levels.ORT_ENABLE_ALL, "with its optimizations")):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(str(written), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(
                f"{target}: expected ONNX Runtime {onnxruntime.__version__} to load the model {how}, "
                f"got: {_one_line(error)}"
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
