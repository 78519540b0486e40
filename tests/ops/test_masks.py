"""Masked attention in integers: what is masked is exactly 0 in every engine, and sets no range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from intaglio_tests.onnxruntime_session import session

import intaglio as ig
from intaglio.frontends import load_onnx, prepare
from intaglio.plan import Source
from intaglio.simulate import Simulator

node = onnx.helper.make_node
SIZE = 6
CAUSAL = np.tril(np.ones((SIZE, SIZE), bool))
EMPTY = CAUSAL & (np.arange(SIZE) != 2)[:, None]


def attention(model: Any, mask: np.ndarray, axis: int, rng: np.random.Generator) -> ig.Graph:
    nodes = [
        node("MatMul", ["x", "w"], ["q"]),
        node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k"], ["scores"]),
        node("Add", ["scores", "mask"], ["masked"]),
        node("Softmax", ["masked"], ["shares"], axis=axis),
        node("MatMul", ["shares", "x"], ["y"]),
    ]
    w = 0.2 * rng.normal(size=(8, 8)).astype(np.float32)  # a step of the scores moves no share by much
    return prepare(load_onnx(model(nodes, {"x": ("n", SIZE, 8)}, {"w": w, "mask": mask}, ["shares", "y"])))


@pytest.mark.parametrize("target", ["cpu-int8", "int8-symmetric", "int16x8", "tflite-int8"])
@pytest.mark.parametrize(("keep", "axis"), [(CAUSAL, -1), (CAUSAL, -2), (EMPTY, -1)], ids=["rows", "columns", "empty"])
def test_masked_positions_are_exactly_zero(
    model: Any, target: str, keep: np.ndarray, axis: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    lowest = float(np.finfo(np.float32).min)
    graph = attention(model, np.where(keep, np.float32(0), np.float32(lowest)), axis, rng)
    x = rng.normal(size=(16, SIZE, 8)).astype(np.float32)
    q = ig.quantize(graph, x, target, calibrator="percentile-99.9", equalize=False, bias_correction=False)
    fused = next(v for v in q.plan.values.values() if v.source is Source.FUSED and "masked" in v.why)
    left = (~keep).sum()
    assert f"{left} of {SIZE * SIZE} positions are masked: the softmax leaves them out" in fused.why
    program = q.lower()
    far = 3 * x  # beyond what was calibrated
    for data in (x, far):
        shares, _ = program.run(data)
        some = np.broadcast_to(keep.any(axis=axis, keepdims=True), keep.shape)
        assert (shares[:, ~keep & some] == 0).all()
        assert np.abs(shares[:, ~some] - 1 / SIZE).max(initial=0) <= 1 / 256
        simulated, _ = q.simulate(data)
        assert np.abs(shares - simulated).max() < 0.03
        assert (simulated[:, ~keep & some] == 0).all()
    want = torch.softmax(torch.as_tensor(np.where(keep, graph_scores(graph, x), lowest)), axis).numpy()
    assert np.abs(program.run(x)[0] - want).max() < 0.1, "scores keep their own range"
    if target in ("cpu-int8", "int8-symmetric"):
        path = tmp_path / "masked.onnx"
        q.export(path)
        # Beyond basic, ONNX Runtime's own integer products of uint8 and int8 saturate on processors without VNNI.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        theirs = session(path, options).run(["shares"], {"x": x})[0]
        assert (theirs[:, ~keep & some] == 0).all()
        assert np.abs(theirs - program.run(x)[0]).max() < 0.03


@pytest.mark.parametrize("number", [-500.0, -1e4])
def test_a_number_added_to_a_whole_row_masks_nothing(model: Any, number: float, rng: np.random.Generator) -> None:
    added = np.where(EMPTY, np.float32(0), np.float32(number))
    graph = attention(model, added, -1, rng)
    x = rng.normal(size=(16, SIZE, 8)).astype(np.float32)
    shares, _ = ig.quantize(graph, x, "int16x8", calibrator="max").lower().run(x)
    want = torch.softmax(torch.as_tensor(graph_scores(graph, x)), -1).numpy()
    assert np.ptp(want[:, 2]) > 0.2
    assert np.abs(shares[:, 2] - want[:, 2]).max() < 0.01


def graph_scores(graph: ig.Graph, x: np.ndarray) -> np.ndarray:
    found: dict[str, np.ndarray] = {}
    Simulator(graph, device="cpu").run(x, observe=lambda name, value: found.update({name: value.numpy().copy()}))
    return found["scores"]


def test_a_choice_that_is_no_mask_is_computed(model: Any, rng: np.random.Generator) -> None:
    nodes = [node("Where", ["keep", "x", "other"], ["z"], "choice"), node("Softmax", ["z"], ["y"])]
    x = rng.normal(size=(8, SIZE, SIZE)).astype(np.float32)
    for other in (0.5, -20.0):
        constants = {"keep": CAUSAL, "other": np.float32(other)}
        graph = prepare(load_onnx(model(nodes, {"x": ("n", SIZE, SIZE)}, constants)))
        program = ig.quantize(graph, x, calibrator="max").lower()
        assert "select" in [made.operator.kind for made in program.nodes]
        want = torch.softmax(torch.as_tensor(np.where(CAUSAL, x, np.float32(other))), -1).numpy()
        assert np.abs(program.run(x) - want).max() < 0.05


def test_attention_as_torch_writes_it(rng: np.random.Generator) -> None:
    class Net(torch.nn.Module):
        def __init__(self, fill: bool) -> None:
            super().__init__()
            self.fill = fill
            self.register_buffer("keep", torch.from_numpy(CAUSAL))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.fill:
                scores = (x @ x.transpose(1, 2)).masked_fill(~self.keep, -torch.inf)
                return torch.softmax(scores, -1) @ x
            x = x[:, None]
            return torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)[:, 0]

    x = rng.normal(size=(16, SIZE, 8)).astype(np.float32)
    for fill in (True, False):
        net = Net(fill).eval()
        q = ig.quantize(ig.load(net, x[:1]), x, calibrator="max")
        error = q.lower().run(x) - net(torch.from_numpy(x)).numpy()
        assert np.abs(error).max() < 0.1
        assert any("masked" in value.why for value in q.plan.values.values())
