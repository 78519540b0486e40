"""A weight that several layers share: stored once in every file, counted once, and read back by each layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import intaglio as ig
from intaglio.codegen.build import plan as plan_code
from intaglio.codegen.machine import machine
from intaglio.codegen.picture import constant_bytes
from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.lower import lower
from intaglio.program.file import to_bytes
from intaglio.workflow.artifacts import float_bytes

SIZE = 96
DISTINCT = {"cpu-int8": 3, "w4a8": 4}  # weights; w4a8 gives the first layer 8 bits


class Shared(nn.Module):
    """One dense layer and one convolution, each of which is used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(SIZE, SIZE)
        self.last = nn.Linear(SIZE, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.sigmoid(self.conv(x))
        x = torch.flatten(x, 2).mean(1)[:, :SIZE]
        for _ in range(3):
            x = torch.tanh(self.dense(x))
        return self.last(x)


@pytest.fixture(scope="module", params=["cpu-int8", "w4a8"])
def shared(request: pytest.FixtureRequest) -> tuple[ig.Quantized, np.ndarray]:
    torch.manual_seed(3)
    x = np.random.default_rng(3).normal(size=(16, 8, 10, 10)).astype(np.float32)
    graph = ig.load(Shared().eval(), torch.as_tensor(x[:1]))
    return ig.quantize(graph, x, request.param, calibrator="max", equalize=False, bias_correction=False), x


def test_the_program_s_file_holds_it_once(shared: tuple[ig.Quantized, np.ndarray], tmp_path: Path) -> None:
    q, x = shared
    program = q.lower()
    weights = [n.operator.weight for n in program.nodes if n.operator.kind in ("conv2d", "dense")]
    assert len(weights) == 7
    assert len({w.tobytes() for w in weights}) == DISTINCT[program.target]
    program.save(tmp_path / "m.intaglio")
    again = ig.load_program(tmp_path / "m.intaglio")
    np.testing.assert_array_equal(again.run(x), program.run(x))
    stored = {id(n.operator.weight) for n in again.nodes if n.operator.kind in ("conv2d", "dense")}
    assert len(stored) == DISTINCT[program.target]
    assert to_bytes(again) == to_bytes(program)
    assert program.nbytes < sum(w.nbytes for w in weights)


def test_generated_c_holds_it_once(shared: tuple[ig.Quantized, np.ndarray]) -> None:
    # Weights take a byte each there; three copies of the dense one would take three times this.
    assert constant_bytes(plan_code(shared[0].lower(), machine("portable"))) < 2 * SIZE * SIZE


def test_a_qdq_file_holds_it_once(shared: tuple[ig.Quantized, np.ndarray], tmp_path: Path) -> None:
    q, x = shared
    q.export(tmp_path / "m.onnx")
    sizes = [tensor.dims for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert sizes.count([8, 8, 3, 3]) + sizes.count([SIZE, SIZE]) + 1 == DISTINCT[q.plan.target]
    assert sizes.count([SIZE, SIZE]) == 1
    graph, plan, _ = load_quantized_graph(tmp_path / "m.onnx")
    plan.rule, plan.accumulator = q.plan.rule, q.plan.accumulator
    assert set(plan.values) == set(q.plan.values)
    np.testing.assert_array_equal(lower(graph, plan).run(x), q.lower().run(x))


def test_it_counts_once_in_sizes(shared: tuple[ig.Quantized, np.ndarray]) -> None:
    q, _ = shared
    module = Shared()
    assert float_bytes(q.graph) == 4 * sum(p.numel() for p in module.parameters())
