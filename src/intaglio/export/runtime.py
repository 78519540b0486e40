"""Check that the installed ONNX Runtime loads an exported file, without and with its optimizations."""

from __future__ import annotations

import functools
from pathlib import Path

import onnx

from intaglio.errors import ExportError

TWO_BITS = (onnx.TensorProto.INT2, onnx.TensorProto.UINT2)


def check_loads(target: Path, written: Path) -> None:
    """Load a file in ONNX Runtime; checks nothing if it is not installed or too old for the file.

    Args:
        target: name of the file in error messages.
        written: the file.
    Raises:
        ExportError: the runtime supports the file's opset but cannot load the file.
    """
    try:
        import onnxruntime
    except ImportError:  # the check is optional
        return
    model = onnx.load(written, load_external_data=False)
    opset = next(int(row.version) for row in model.opset_import if row.domain == "")
    if not reads(opset, model.ir_version):
        return
    levels = onnxruntime.GraphOptimizationLevel
    two_bits = any(tensor.data_type in TWO_BITS for tensor in model.graph.initializer)
    for level, how in ((levels.ORT_DISABLE_ALL, "as it is"), (levels.ORT_ENABLE_ALL, "with its optimizations")):
        options = onnxruntime.SessionOptions()
        if two_bits:
            # ONNX Runtime 1.31 fuses 2-bit pairs to QLinearConv, which does not take them, and refuses the model; with
            # this setting it loads.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
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
    """Return whether the installed ONNX Runtime supports an opset of ONNX's main domain and an IR version.

    Loads a model that copies its input, because the package has no list of supported versions.
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
    except Exception:  # the errors of its bindings have no common narrower class
        return False
    return True
