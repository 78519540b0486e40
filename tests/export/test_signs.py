"""Signs of one bit in a QDQ file: ONNX Runtime computes what the program computes, for sums of exactly 0 too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from intaglio_tests.qdq_net import run_ort
from torch import Tensor, nn

import intaglio as ig
from intaglio.number import BIPOLAR


class Signs(nn.Module):
    """Signs of an input, of products and of a sum, 8 taps each: a sum of 0 comes often."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 8, 1, bias=False)
        self.two, self.last = nn.Conv2d(8, 8, 1, bias=False), nn.Linear(8 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sign(self.first(x))
        x = torch.sign(self.one(x))
        x = torch.sign(self.two(x) + x)
        return self.last(torch.flatten(x, 1))


def test_onnx_runtime_gives_the_program_s_signs(tmp_path: Path, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    x = rng.normal(size=(64, 2, 4, 4)).astype(np.float32)
    q = ig.quantize(ig.load(Signs().eval(), torch.as_tensor(x[:1])), x, "binary", calibrator="max")
    program = q.lower()
    zeros = 0
    traced = program.trace(*program.quantize_inputs(x))
    for node in program.nodes:
        if node.operator.kind == "conv2d" and node.operator.out == BIPOLAR and node.operator.weight_type == BIPOLAR:
            zeros += int((node.operator.accumulate(np.asarray(traced[node.inputs[0]])) == 0).sum())
    assert zeros > 100, "sums of 0 are what this test is about"
    q.export(tmp_path / "m.onnx")
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    ours, theirs = program.run(x), run_ort(tmp_path / "m.onnx", x)
    step = float(program.tensors[program.outputs[0]].params.scale)
    assert np.abs(ours - theirs).max() <= 1.01 * step
