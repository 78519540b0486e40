#!/usr/bin/env bash
# torch 2.13.0's newer ONNX exporter writes nn.LSTM and nn.GRU as one node of the standard, and nn.RNN step by step,
# although the standard has RNN too; its older exporter writes all three as one node.
# Seen: 20 time steps: the newer exporter writes 5 nodes for LSTM and GRU, and 125 for RNN, 20 of them MatMul. So the
# size of an exported nn.RNN grows with the length of the example, and the length is fixed. (Plain pip on Linux fetches
# CUDA beside torch.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import sys
import warnings

import onnx
import onnxscript  # the newer exporter needs it
import torch

warnings.filterwarnings("ignore")
print(f"torch {torch.__version__}, onnxscript {onnxscript.__version__}")
found = {}
for kind in ("RNN", "LSTM", "GRU"):
    for newer in (True, False):
        module, file = getattr(torch.nn, kind)(4, 5, batch_first=True).eval(), io.BytesIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = torch.onnx.export(module, (torch.zeros(1, 20, 4),), None if newer else file, dynamo=newer, verbose=False)
        if newer:
            nodes = made.model_proto.graph.node
        else:
            nodes = onnx.load_from_string(file.getvalue()).graph.node
        found[kind, newer] = [node.op_type for node in nodes]
        print(f"{kind}, {'newer' if newer else 'older'} exporter: {len(nodes)} nodes, {found[kind, newer].count(kind)} {kind}")
unrolled = found.pop(("RNN", True))
sys.exit(unrolled.count("RNN") != 0 or unrolled.count("MatMul") != 20 or any(o.count(k[0]) != 1 for k, o in found.items()))
PYTHON
