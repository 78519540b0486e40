#!/usr/bin/env bash
# The quantizer of ONNX Runtime 1.31.1, asked for 4-bit weights in a model of an opset that has no such type.
# Seen: below opset 21 it keeps the opset and writes DequantizeLinear of its own domain, com.microsoft; asked for 16-bit
# activations beside them, it raises the opset to 21 and writes those of ONNX.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
rng = np.random.default_rng(0)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.samples = iter([{"x": rng.normal(size=(4, 16)).astype(np.float32)}])

    def get_next(self):
        return next(self.samples, None)


def quantized(activations):
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 8])],
        [numpy_helper.from_array(rng.normal(size=(16, 8)).astype(np.float32), "w")],
    )
    with tempfile.TemporaryDirectory() as folder:
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, f"{folder}/f.onnx")
        quantize_static(
            f"{folder}/f.onnx", f"{folder}/q.onnx", Reader(), quant_format=QuantFormat.QDQ,
            activation_type=activations, weight_type=QuantType.QInt4,
        )
        model = onnx.load(f"{folder}/q.onnx")
    version = next(entry.version for entry in model.opset_import if not entry.domain)
    return version, sorted({node.domain for node in model.graph.node if node.op_type == "DequantizeLinear"})


eight, sixteen = quantized(QuantType.QUInt8), quantized(QuantType.QUInt16)
print("opset and domains with 8-bit activations:", eight, "with 16-bit activations:", sixteen)
sys.exit(eight != (20, ["com.microsoft"]) or sixteen != (21, [""]))
PYTHON
