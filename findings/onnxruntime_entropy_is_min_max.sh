#!/usr/bin/env bash
# The entropy calibrator of ONNX Runtime 1.31.1, called by quantize_static, finds the range from minimum to maximum.
# Seen: it makes 128 bins and tries ranges of at least 128 bins, so it has one to choose from. 9,999 normal numbers
# and one 100 give the scale of MinMax; with 2,048 bins the range ends at 9. The calibrator has an argument for the
# number of bins, quantize_static no option for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import logging
import sys
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static
from onnxruntime.quantization.calibrate import EntropyCalibrater

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
folder = sys.argv[1]
x = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
x[0] = 100
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "one"], ["y"])], "product",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [10_000])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [10_000])],
    [numpy_helper.from_array(np.ones(1, np.float32), "one")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, f"{folder}/float.onnx")


class Reader(CalibrationDataReader):
    def __init__(self):
        self.samples = iter([{"x": x}])

    def get_next(self):
        return next(self.samples, None)


def scale(method):
    quantize_static(f"{folder}/float.onnx", f"{folder}/quantized.onnx", Reader(), calibrate_method=method)
    stored = {tensor.name: tensor for tensor in onnx.load(f"{folder}/quantized.onnx").graph.initializer}
    return float(numpy_helper.to_array(stored["x_scale"]))


def end(bins):
    calibrator = EntropyCalibrater(f"{folder}/float.onnx", augmented_model_path=f"{folder}/all.onnx", num_bins=bins)
    calibrator.augment_graph()
    calibrator.create_inference_session()
    calibrator.collect_data(Reader())
    return float(calibrator.compute_data().data["x"].range_value[1])


min_max, entropy = scale(CalibrationMethod.MinMax), scale(CalibrationMethod.Entropy)
few, many = end(128), end(2048)
print("scale of x by MinMax and by Entropy:", min_max, entropy)
print("end of the range with 128 and with 2048 bins:", few, many)
sys.exit(min_max != entropy or few != 100 or not 8 < many < 10)
PYTHON
