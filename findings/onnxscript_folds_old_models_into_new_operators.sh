#!/usr/bin/env bash
# onnxscript 0.7.2's fold_constants writes operators of opset 13 into models of opset 11 and 12: the result is no valid
# model.
# Seen: two tensors through SequenceConstruct and ConcatFromSequence with new_axis=1. The folder replaces the latter by
# Unsqueeze with its axes as a second input, a form that begins at opset 13; onnx' checker refuses the result at opset 11
# and 12 (at 11 also an attribute of Constant that begins at 12), and accepts it at 13. So old models are converted to a
# newer opset first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet onnxscript==0.7.2 onnx==1.23.2 onnx-ir==1.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import onnx_ir
from onnx import TensorProto, checker, helper
from onnxscript import optimizer

valid = {}
for opset in (11, 12, 13):
    nodes = [
        helper.make_node("SequenceConstruct", ["a", "b"], ["pair"]),
        helper.make_node("ConcatFromSequence", ["pair"], ["y"], axis=0, new_axis=1),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "ab"]
    graph = helper.make_graph(nodes, "pair", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model, full_check=True)
    folded = onnx_ir.serde.deserialize_model(model)
    optimizer.fold_constants(folded)
    made = onnx_ir.serde.serialize_model(folded)
    inputs = [len(node.input) for node in made.graph.node if node.op_type == "Unsqueeze"]
    try:
        checker.check_model(made)
        valid[opset] = True
    except checker.ValidationError as error:
        valid[opset] = False
        print(str(error).splitlines()[0])
    print(f"opset {opset}: Unsqueeze with {inputs} inputs, {'valid' if valid[opset] else 'not valid'}")
sys.exit(valid != {11: False, 12: False, 13: True})
PYTHON
