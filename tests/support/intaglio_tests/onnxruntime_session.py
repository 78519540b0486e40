"""Sessions of ONNX Runtime, in whatever version a machine has.

Python 3.10 has none newer than 1.23, which reads opset 23. A model in a newer opset is then given to it in the lowest
one that says the same; a test whose model has no such form is skipped.

Every room finds this file, so that it imports what it needs only when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import onnx


def session(model: onnx.ModelProto | Path, options: Any = None) -> Any:
    """An InferenceSession of a model or of a file, on the processor; or the reason why there is none, as a skip."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    import onnx

    given: Any = str(model) if isinstance(model, Path) else model.SerializeToString()
    if not _reads(model):
        proto = in_lowest_opset(onnx.load(model) if isinstance(model, Path) else model)
        if not _reads(proto):
            pytest.skip(f"needs an onnxruntime that reads opset {_opset(proto)}, got {onnxruntime.__version__}")
        given = proto.SerializeToString()
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def needs_to_read(path: Path) -> None:
    """Skip where ONNX Runtime cannot read a file."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    if not _reads(path):
        pytest.skip(f"needs an onnxruntime that reads the files that are saved, got {onnxruntime.__version__}")


def in_lowest_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model of ONNX's own operators in the lowest opset that says the same."""
    import onnx
    import onnx_ir as ir

    from intaglio.export.opset import leave_out_newer, lowest_opset

    model = ir.from_proto(proto)
    version = lowest_opset(model)
    leave_out_newer(model, version)
    model.graph.opset_imports[""] = version
    model.ir_version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", version)])
    return ir.to_proto(model)


def _reads(model: onnx.ModelProto | Path) -> bool:
    import onnx

    from intaglio.export.runtime import reads

    proto = onnx.load(model, load_external_data=False) if isinstance(model, Path) else model
    return reads(_opset(proto), proto.ir_version)


def _opset(proto: onnx.ModelProto) -> int:
    return next((int(row.version) for row in proto.opset_import if row.domain == ""), 1)
