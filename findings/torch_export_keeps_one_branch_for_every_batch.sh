#!/usr/bin/env bash
# torch 2.13.0's torch.export takes the branch of `if x.shape[0] == 1` that the example takes, and guards no batch of 1
# although the dimension is declared from 1 on: the exported program runs there and returns the other branch's numbers.
# Seen: a module that doubles one sample and triples several, exported with two samples and Dim("n", min=1), Dim.DYNAMIC
# or Dim.AUTO: called with one sample it returns 3 times the input without an error; the module itself returns 2 times.
# So an exported network that is right for the example's batch can be wrong for one sample: compare both, module and
# program, at a batch of 1 too. (Plain pip on Linux fetches CUDA beside torch.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch
from torch.export import Dim, export

warnings.filterwarnings("ignore")


class OneOrMany(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] == 1 else x * 3


module, wrong = OneOrMany(), False
for name, dimension in (("min=1", Dim("n", min=1, max=64)), ("DYNAMIC", Dim.DYNAMIC), ("AUTO", Dim.AUTO)):
    program = export(module, (torch.ones(2, 4),), dynamic_shapes=({0: dimension},)).module()
    for samples in (1, 2, 3):
        x = torch.ones(samples, 4)
        eager, exported = float(module(x)[0, 0]), float(program(x)[0, 0])
        print(f"{name}, {samples} samples: module {eager}, exported {exported}")
        wrong |= exported != 3.0 or eager != (2.0 if samples == 1 else 3.0)
sys.exit(wrong)
PYTHON
