#!/usr/bin/env bash
# The dynamic quantizer of ONNX Runtime 1.31.1 and a valid model in which value_info repeats the shape of a weight, as
# PyTorch's exporter writes it for every weight.
# Seen: it transposes the weight of a Gemm with transB=1, but not the shape in value_info, and its own shape inference
# then raises "Inferred shape and existing shape differ in dimension 0: (64) vs (10)". Without that entry it works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

logging.disable(logging.WARNING)


def described(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def error(value_info):
    """What the quantizer says of a dense layer with 64 inputs and 10 outputs; nothing if it works."""
    weight = np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "dense", [described("x", 1, 64)],
        [described("y", 1, 10)], [numpy_helper.from_array(weight, "w")], value_info=value_info,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/f.onnx")
        try:
            quantize_dynamic(f"{folder}/f.onnx", f"{folder}/q.onnx")
        except Exception as refused:
            return str(refused)
    return ""


without, beside = error([]), error([described("w", 10, 64)])
print("shape of the weight only at the weight:", without or "quantized")
print("also in value_info:", beside)
sys.exit(without != "" or "differ in dimension 0: (64) vs (10)" not in beside)
PYTHON
