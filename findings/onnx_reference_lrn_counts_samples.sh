#!/usr/bin/env bash
# onnx 1.23.2's reference evaluator computes LRN for as many channels as the batch has samples, and leaves the sum of
# squares of the others at 0.
# Seen: channels 1 to 6, size 3, one sample: only the first channel has its sum (5); the others are divided by bias alone.
# Six samples of the same channels: all are right. So a test against the evaluator needs at least as many samples as
# channels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

node = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=3.0, beta=1.0, bias=1.0)
shape = ["n", 6, 1, 1]
graph = helper.make_graph(
    [node], "lrn", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
channels = np.arange(1, 7, dtype=np.float32)
padded = np.concatenate([[0], channels**2, [0]])
wanted = padded[:-2] + padded[1:-1] + padded[2:]
sums = {}
for samples in (1, 6):
    x = np.tile(channels[None, :, None, None], (samples, 1, 1, 1))
    y = ReferenceEvaluator(model).run(None, {"x": x})[0]
    sums[samples] = np.round(channels / y[0, :, 0, 0] - 1)
    print(f"{samples} samples: sums of squares {sums[samples].astype(int).tolist()}, by definition {wanted.astype(int).tolist()}")
first_only = np.array_equal(sums[1], [wanted[0], 0, 0, 0, 0, 0])
sys.exit(not (first_only and np.array_equal(sums[6], wanted)))
PYTHON
