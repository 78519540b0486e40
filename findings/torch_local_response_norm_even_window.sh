#!/usr/bin/env bash
# torch 2.13.0's local_response_norm and ONNX' LRN put an even window on opposite sides: torch sums one channel more
# before, ONNX one more after (onnx 1.23.2's reference evaluator).
# Seen: channels 1 to 6, size 2: torch sums the squares of the channel and of the one before it; LRN, of the channel and
# of the one behind it. With size 3 both agree. So an even window is not LRN with the same size. (Plain pip on Linux
# fetches CUDA beside torch.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

channels = np.arange(1, 7, dtype=np.float32)
x = np.tile(channels[None, :, None, None], (6, 1, 1, 1))  # the evaluator computes as many channels as samples
found = {}
for size in (2, 3, 4):
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=float(size), beta=1.0, bias=0.0)
    graph = helper.make_graph(
        [node], "lrn", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    standard = ReferenceEvaluator(model).run(None, {"x": x})[0]
    module = torch.nn.functional.local_response_norm(torch.from_numpy(x), size, alpha=float(size), beta=1.0, k=0.0)
    sums = [np.round(channels / y[0, :, 0, 0]).astype(int).tolist() for y in (module.numpy(), standard)]
    found[size] = sums
    print(f"size {size}: torch {sums[0]}, ONNX {sums[1]}")
squares = channels.astype(int) ** 2
before = (squares + np.concatenate([[0], squares[:-1]])).tolist()
after = (squares + np.concatenate([squares[1:], [0]])).tolist()
sys.exit(found[2] != [before, after] or found[3][0] != found[3][1] or found[4][0] == found[4][1])
PYTHON
