#!/usr/bin/env bash
# ONNX Runtime 1.32.0's quantize_dynamic quantizes LSTM and leaves GRU and RNN in float without a message.
# Seen: one layer of 64 units each: the LSTM file shrinks from 133,292 to 35,277 bytes; GRU and RNN keep their size, their
# operator and their results to the last bit. So the size of the file tells whether a recurrent network was quantized.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

logging.disable(logging.WARNING)  # its advice to prepare the model
units, random, shrunk = 64, np.random.default_rng(0), {}
with tempfile.TemporaryDirectory() as folder:
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        shapes = {"W": (1, gates * units, units), "R": (1, gates * units, units), "B": (1, 2 * gates * units)}
        constants = [numpy_helper.from_array(random.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
        graph = helper.make_graph(
            [helper.make_node(kind, ["x", *shapes], ["y"], hidden_size=units)], "layer",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 1, units])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, 1, 1, units])], constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        paths = [os.path.join(folder, name) for name in ("float.onnx", "dynamic.onnx")]
        onnx.save(model, paths[0])
        quantize_dynamic(*paths)
        x = random.normal(size=(5, 1, units)).astype(np.float32)
        ys = [ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0] for path in paths]
        sizes = [os.path.getsize(path) for path in paths]
        shrunk[kind] = sizes[1] < sizes[0] / 2
        same = "same" if np.array_equal(*ys) else "other"
        print(f"{kind}: {onnx.load(paths[1]).graph.node[0].op_type}, {sizes[0]} to {sizes[1]} bytes, {same} results")
        shrunk[kind] = (shrunk[kind], same)
sys.exit(shrunk != {"LSTM": (True, "other"), "GRU": (False, "same"), "RNN": (False, "same")})
PYTHON
