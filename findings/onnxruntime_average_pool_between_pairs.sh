#!/usr/bin/env bash
# ONNX Runtime 1.31.1 makes QLinearAveragePool of an AveragePool between QuantizeLinear and DequantizeLinear.
# Seen: with ceil_mode=1 and count_include_pad=1 (and no padding) it divides by cells outside the image: the mean of
# hundreds is 50 at the edges and 25 in the corner, and 100 without optimizations. With dilations=[1, 1], the default
# of opset 19, it refuses to load the file: "Unrecognized attribute: dilations".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def pair(x, y):
    return [
        helper.make_node("QuantizeLinear", [x, "scale", "zero"], [f"{x}_codes"]),
        helper.make_node("DequantizeLinear", [f"{x}_codes", "scale", "zero"], [y]),
    ]


def run(level, opset, **attributes):
    pool = helper.make_node("AveragePool", ["x_real"], ["p"], kernel_shape=[2, 2], strides=[2, 2], **attributes)
    graph = helper.make_graph(
        [*pair("x", "x_real"), pool, *pair("p", "y")], "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [numpy_helper.from_array(np.float32(1), "scale"), numpy_helper.from_array(np.uint8(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = level
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.full((1, 1, 3, 3), 100, np.float32)})[0].reshape(-1).tolist()


levels = ort.GraphOptimizationLevel
plain = run(levels.ORT_DISABLE_ALL, 13, ceil_mode=1, count_include_pad=1)
optimized = run(levels.ORT_ENABLE_ALL, 13, ceil_mode=1, count_include_pad=1)
print("ceil_mode, count_include_pad:", plain, "without optimizations,", optimized, "with them")
try:
    refused = f"loaded, {run(levels.ORT_ENABLE_ALL, 19, dilations=[1, 1])}"
except Exception as error:
    refused = str(error)
print("dilations=[1, 1]:", refused)
sys.exit(plain != [100] * 4 or optimized != [100, 50, 50, 25] or "Unrecognized attribute: dilations" not in refused)
PYTHON
