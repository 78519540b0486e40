"""Whether the installed ONNX Runtime loads what is exported: without its optimizations and with them."""

from __future__ import annotations

import functools
from pathlib import Path

import onnx

from intaglio.errors import ExportError


def check_loads(target: Path, written: Path) -> None:
    """Load a file in the installed ONNX Runtime. Without one, or with one too old for the file, nothing is checked.

    Args:
        target: what errors call the file.
        written: the file.
    Raises:
        ExportError: the runtime reads the file's opset and does not accept the file.
    """
    try:
        import onnxruntime
    except ImportError:  # a check for those who have it
        return
    model = onnx.load(written, load_external_data=False)
    opset = next(int(row.version) for row in model.opset_import if row.domain == "")
    if not reads(opset, model.ir_version):
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
                f"got: {' '.join(str(error).split())[:400]}"
            ) from error


@functools.cache
def reads(opset: int, ir_version: int) -> bool:
    """Whether the installed ONNX Runtime reads an opset of ONNX's main domain and a version of ONNX's file format.

    A model that copies its input is loaded: the package has no list of what it reads.
    """
    import onnxruntime

    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "copy", [x], [y])
    imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # its bindings' errors have no narrower class in common
        return False
    return True
