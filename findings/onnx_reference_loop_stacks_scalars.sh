#!/usr/bin/env bash
# onnx 1.23.2's reference evaluator gives a Loop's scan output of scalars one axis too many.
# Seen: a Loop of three iterations whose body gives a scalar: shape (3, 1) from the evaluator, (3,) from ONNX Runtime
# 1.32.0 and in the model's own declaration, which onnx' checker accepts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnx==1.23.2 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from onnx import TensorProto, checker, helper
from onnx.reference import ReferenceEvaluator
import onnxruntime as ort

value = helper.make_tensor_value_info
body = helper.make_graph(
    [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Cast", ["i"], ["scalar"], to=TensorProto.FLOAT)],
    "body", [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])],
    [value("again", TensorProto.BOOL, []), value("scalar", TensorProto.FLOAT, [])],
)
graph = helper.make_graph(
    [helper.make_node("Loop", ["trips", "go"], ["y"], body=body)], "loop", [], [value("y", TensorProto.FLOAT, [3])],
    [helper.make_tensor("trips", TensorProto.INT64, [], [3]), helper.make_tensor("go", TensorProto.BOOL, [], [True])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
checker.check_model(model, full_check=True)
evaluator = ReferenceEvaluator(model).run(None, {})[0].shape
runtime = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {})[0].shape
print(f"reference evaluator {evaluator}, ONNX Runtime {runtime}, declared (3,)")
sys.exit((evaluator, runtime) != ((3, 1), (3,)))
PYTHON
