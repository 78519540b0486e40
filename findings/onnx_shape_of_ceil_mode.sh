#!/usr/bin/env bash
# onnx 1.23.2 infers for a pool with ceil_mode, below opset 22, a last window that starts outside the image.
# Seen: kernel 1, stride 2, four numbers: three results at opset 21, two at opset 22. ONNX Runtime 1.31.1 returns two
# at both. So inferred shapes of older files may be larger than what runs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, shape_inference

found = {}
for opset in (21, 22):
    for kind in ("AveragePool", "MaxPool"):
        pool = helper.make_node(kind, ["x"], ["y"], kernel_shape=[1], strides=[2], ceil_mode=1)
        graph = helper.make_graph(
            [pool], "pool", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4])],
            [helper.make_empty_tensor_value_info("y")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        shape = shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        y = session.run(None, {"x": np.zeros((1, 1, 4), np.float32)})[0]
        found[opset, kind] = shape.dim[2].dim_value, y.shape[2]
        print(f"{kind}, opset {opset}: {found[opset, kind][0]} inferred, {found[opset, kind][1]} computed")
sys.exit(any(sizes != ((3, 2) if opset == 21 else (2, 2)) for (opset, _), sizes in found.items()))
PYTHON
