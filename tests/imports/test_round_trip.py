"""Our own QDQ files come back: the same parameters, the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intaglio_tests_qdq_net import Net, calibrated, small_net

from intaglio.export import export_qdq
from intaglio.imports import load_quantized_graph
from intaglio.lower import lower
from intaglio.plan import Source
from intaglio.targets import BUILTIN


def transformer_block() -> Net:
    """Layer normalization, a product of two computed values, GELU, softmax, a residual sum."""
    net = Net(opset=20)
    x = net.op("LayerNormalization", "x", net.normal(12) + 1, net.normal(12), out="norm")
    q, k = (net.op("MatMul", x, net.normal(12, 12), out=name) for name in ("q", "k"))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1]), out="scores")
    mixed = net.op("MatMul", net.op("Softmax", scores, out="attention", axis=-1), x, out="mixed")
    x = net.op("Add", "x", net.op("Gelu", mixed, out="gelu"), out="sum")
    net.op("ReduceMean", x, np.array([1]), out="y", keepdims=0)
    return net


@pytest.mark.parametrize("target", BUILTIN)
@pytest.mark.parametrize("which", ["convolutions", "transformer"])
def test_round_trip(which: str, target: str, tmp_path: Path) -> None:
    model = small_net() if which == "convolutions" else transformer_block().model((1, 6, 12), "y")
    graph, plan, x = calibrated(model, target)
    export_qdq(graph, plan, tmp_path / "m.onnx")
    again, read, _ = load_quantized_graph(tmp_path / "m.onnx")
    assert set(read.values) == set(plan.values)
    for name in plan.values:
        assert read.params(name) == plan.params(name), name
        assert (read[name].source is Source.FUSED) == (plan[name].source is Source.FUSED)
    assert [(n.name, n.op_type) for n in again.nodes] == [(n.name, n.op_type) for n in graph.nodes]
    read.rule, read.accumulator = plan.rule, plan.accumulator
    np.testing.assert_array_equal(lower(again, read).run(x), lower(graph, plan).run(x))
