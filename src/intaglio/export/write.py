"""Check an ONNX model and write it atomically."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import onnx_ir as ir

from intaglio.errors import ExportError
from intaglio.export.runtime import check_loads
from intaglio.files import whole_file

# Protobuf is limited to 2 GiB; weights of larger models go to a file beside the model.
_LARGEST_PROTOBUF = 2**31 - 2**24


def write_checked(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write a model to a temporary file, check it, and rename it. Weights beyond 2 GB go to `<path>.data`.

    Raises:
        ExportError: the file cannot be written; or ONNX's checker or the installed ONNX Runtime does not accept it (a
            runtime too old for the file's opset is not used).
    """
    target = Path(path)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    data = f"{target.name}.data" if size > _LARGEST_PROTOBUF else None
    try:
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a directory")
        with whole_file(target) as written:
            ir.save(model, written, external_data=data)
            try:
                onnx.checker.check_model(str(written), full_check=True)
            except Exception as error:
                text = " ".join(str(error).split())[:400]
                raise ExportError(f"{target}: expected valid ONNX, got: {text}") from error
            check_loads(target, written)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{target}: expected to write the QDQ model here, got: {reason}") from error
