#!/usr/bin/env bash
# torch 2.13.0 fake-quantizes by multiplying with the float32 reciprocal of the scale; QuantizeLinear divides.
# Seen: of the 200 half steps of a scale of 0.1, k * 0.1 + 0.05 in float32, torch rounds 12 to the step next to the one
# that ONNX Runtime 1.31.1 returns (1.55 and 9.15, say), by fake_quantize_per_tensor_affine and quantize_per_tensor
# alike. NumPy's x * (1 / scale) equals torch, its x / scale ONNX Runtime. So a network trained with torch's fake
# quantization and exported as QuantizeLinear can differ by a step. (Plain pip on Linux fetches CUDA beside torch.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

warnings.filterwarnings("ignore")
scale = np.float32(0.1)
x = ((np.arange(-100, 100) + 0.5) * 0.1).astype(np.float32)
graph = helper.make_graph(
    [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])], "quantize",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [x.size])],
    [helper.make_tensor_value_info("y", TensorProto.INT8, [x.size])],
    [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(np.int8(0), "zero")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
divided = session.run(None, {"x": x})[0]
faked = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), float(scale), 0, -128, 127).numpy()
codes = np.rint(faked / scale).astype(np.int8)
stored = torch.quantize_per_tensor(torch.from_numpy(x), float(scale), 0, torch.qint8).int_repr().numpy()
other = np.flatnonzero(codes != divided)
print(f"{other.size} of {x.size} differ:")
for i in other:
    print(f"  {x[i]:.2f}: {codes[i]} by torch, {divided[i]} by ONNX Runtime")
sys.exit(
    other.size != 12
    or not np.array_equal(codes, stored)
    or not np.array_equal(codes, np.rint(x * (np.float32(1) / scale)))
    or not np.array_equal(divided, np.rint(x / scale))
)
PYTHON
