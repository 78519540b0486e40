#!/usr/bin/env bash
# torch 2.13.0's MovingAverageMinMaxObserver, which quantization-aware training uses by default, begins at the extremes
# of its first batch and corrects no bias: with its averaging constant of 0.01 that batch has weight 0.99**(n - 1)
# after n batches.
# Seen: one batch between -1 and 1, then batches between -10 and 10. After 32 batches the observer's maximum is 3.41,
# after 100 it is 6.67, after 500 it is 9.94. So it needs some hundred batches, or a first one like all the others,
# before it is of use for post-training calibration. (Plain pip on Linux fetches CUDA beside torch.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import torch

warnings.filterwarnings("ignore")
from torch.ao.quantization import MovingAverageMinMaxObserver, get_default_qat_qconfig

observer = MovingAverageMinMaxObserver()
constant = observer.averaging_constant
in_training = get_default_qat_qconfig("x86").activation().activation_post_process
print(f"averaging constant {constant}; in training {type(in_training).__name__}, {in_training.averaging_constant}")
wrong = constant != 0.01 or type(in_training) is not MovingAverageMinMaxObserver
wrong |= in_training.averaging_constant != 0.01
seen = 0
for batches, expected in ((1, 1.00), (32, 3.41), (100, 6.67), (500, 9.94)):
    while seen < batches:
        largest = 1.0 if seen == 0 else 10.0
        observer(torch.tensor([-largest, largest]))
        seen += 1
    maximum = float(observer.max_val)
    print(f"after {batches} batches: maximum {maximum:.2f}, weight of the first {0.99 ** (batches - 1):.3f}")
    wrong |= abs(maximum - expected) > 0.01
sys.exit(wrong)
PYTHON
