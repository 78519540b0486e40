#!/usr/bin/env bash
# ONNX Runtime 1.31.1 refuses a valid model of opset 25 whose convolution has weights of 2 bits between pairs.
# Seen: its extended optimizations make QLinearConv of the pairs and the convolution, which takes no 2-bit integers, and
# loading fails. Without optimizations, or with session.disable_quant_qdq, the same file loads and gives exact results.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, checker, helper, numpy_helper

nodes = [
    helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_codes"]),
    helper.make_node("DequantizeLinear", ["x_codes", "scale", "zero"], ["x_real"]),
    helper.make_node("DequantizeLinear", ["w_codes", "scale", "w_zero"], ["w"]),
    helper.make_node("Conv", ["x_real", "w"], ["sum"]),
    helper.make_node("QuantizeLinear", ["sum", "scale", "zero"], ["y_codes"]),
    helper.make_node("DequantizeLinear", ["y_codes", "scale", "zero"], ["y"]),
]
constants = [
    numpy_helper.from_array(np.float32(1), "scale"),
    numpy_helper.from_array(np.uint8(0), "zero"),
    helper.make_tensor("w_zero", TensorProto.INT2, [], [0]),
    helper.make_tensor("w_codes", TensorProto.INT2, [1, 1, 1, 2], [-1, 1]),
]
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 1, s]) for n, s in (("x", 3), ("y", 2))]
graph = helper.make_graph(nodes, "two_bits", ends[:1], ends[1:], constants)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
checker.check_model(model, full_check=True)


def run(level, without_pairs):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", without_pairs)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return f"refused: {str(error).splitlines()[0][:120]}"
    return session.run(None, {"x": np.float32([[[[1, 3, 8]]]])})[0].ravel().tolist()


plain = run(ort.GraphOptimizationLevel.ORT_DISABLE_ALL, "0")
optimized = run(ort.GraphOptimizationLevel.ORT_ENABLE_ALL, "0")
unfused = run(ort.GraphOptimizationLevel.ORT_ENABLE_ALL, "1")
print(f"without optimizations: {plain}; with them: {optimized}; with session.disable_quant_qdq: {unfused}")
sys.exit(not (plain == unfused == [2, 5] and str(optimized).startswith("refused")))
PYTHON
