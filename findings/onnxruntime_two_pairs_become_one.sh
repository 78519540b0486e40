#!/usr/bin/env bash
# ONNX Runtime 1.31.1 makes one QuantizeLinear and DequantizeLinear of two such pairs in a row, with the finer scale.
# Seen: 0 to 8 through a grid of step 4 and then one of step 1 comes back as multiples of 4 without optimizations, and
# unchanged with the basic ones; so too with the coarse grid last. The result is more exact, and not what the file says.
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


def pair(x, y, scale):
    return [
        helper.make_node("QuantizeLinear", [x, scale, "zero"], [f"{y}_codes"]),
        helper.make_node("DequantizeLinear", [f"{y}_codes", scale, "zero"], [y]),
    ]


def run(level, first, second):
    graph = helper.make_graph(
        [*pair("x", "between", "first"), *pair("between", "y", "second")], "pairs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [9])],
        [
            numpy_helper.from_array(np.float32(first), "first"), numpy_helper.from_array(np.float32(second), "second"),
            numpy_helper.from_array(np.uint8(0), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.arange(9, dtype=np.float32)})[0].tolist()


changed = False
for first, second in ((4, 1), (1, 4)):
    plain = run(ort.GraphOptimizationLevel.ORT_DISABLE_ALL, first, second)
    basic = run(ort.GraphOptimizationLevel.ORT_ENABLE_BASIC, first, second)
    print(f"steps {first}, then {second}: {plain} without optimizations, {basic} with the basic ones")
    changed |= plain != [0, 0, 0, 4, 4, 4, 8, 8, 8] or basic != list(range(9))
sys.exit(changed)
PYTHON
