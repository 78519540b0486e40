"""Box plots of weights: quartiles of the right rows, of the right layers, before and after."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import intaglio as ig
from intaglio.graph import Graph
from intaglio.graph.weights import product
from intaglio.report import weight_plots as weights
from intaglio.report.weight_plots import channel_ranges


def net(widths: list[int], seed: int = 0) -> onnx.ModelProto:
    """Dense layers of these widths."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(a, b)).astype(np.float32) for a, b in pairwise(widths)]
    names = ["x", *(f"h{i}" for i in range(len(arrays)))]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], f"layer{i}") for i in range(len(arrays))]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", widths[0]])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, ["N", widths[-1]])],
        [numpy_helper.from_array(a, f"w{i}") for i, a in enumerate(arrays)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    ("kind", "shape", "attributes", "outputs"),
    [
        ("Conv", (6, 2, 3, 3), {"group": 2}, 6),
        ("ConvTranspose", (4, 3, 2, 2), {"group": 2}, 6),
        ("Gemm", (5, 4), {"transB": 1}, 5),
        ("Gemm", (4, 5), {}, 5),
        ("MatMul", (4, 5), {}, 5),
    ],
)
def test_a_row_scales_with_its_output(
    kind: str, shape: tuple[int, ...], attributes: dict[str, int], outputs: int
) -> None:
    """Scaling the layer's outputs scales the rows of the weight, whichever axis they lie on."""
    seed = 3
    w = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    dims = [1, 4, *[4] * (len(shape) - 2)]
    node = helper.make_node(kind, ["x", "w"], ["y"], "layer", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, "w")],
    )
    model = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    loaded = Graph(ir.from_proto(model))
    made = product(loaded.nodes[0])
    assert made is not None
    before = made.rows.copy()
    assert before.shape == (outputs, w.size // outputs), seed
    factors = np.arange(1.0, outputs + 1)
    made.scale_outputs(factors)
    np.testing.assert_allclose(made.rows, before * factors[:, None], rtol=1e-6)


def test_before_and_after_are_matched_by_name() -> None:
    prepared = ig.load(net([8, 5, 3]))
    graph = prepared.copy()
    first = product(graph.nodes[0])
    assert first is not None
    first.scale_outputs(np.array([1, 1, 1, 1, 100.0]))
    changed, same = channel_ranges(graph, prepared)
    rows = first.rows.astype(np.float64)
    assert changed.layer == graph.nodes[0].name
    assert changed.channels == 5
    assert changed.before is not None
    np.testing.assert_allclose(changed.after, np.percentile(rows[changed.shown], [0, 25, 50, 75, 100], axis=1))
    wide = int(np.flatnonzero(changed.shown == 4)[0])
    np.testing.assert_allclose(changed.after[:, wide], 100 * changed.before[:, wide], rtol=1e-6)
    assert changed.spread_before is not None
    assert changed.spread_after > 10 * changed.spread_before
    assert same.before is not None
    np.testing.assert_array_equal(same.before, same.after)
    widths = np.ptp(changed.before[[0, 4]], axis=0)
    assert (np.diff(widths) <= 0).all()  # ordered by range before


def test_reverted_equalization_has_no_before() -> None:
    prepared = ig.load(net([8, 5, 3]))
    for layer in (*channel_ranges(prepared.copy(), prepared), *channel_ranges(prepared)):
        assert layer.before is None
        assert layer.spread_before is None


def test_a_dead_channel_and_a_dead_layer_have_a_spread() -> None:
    graph = ig.load(net([4, 6, 2]))
    made = product(graph.nodes[0])
    assert made is not None
    made.scale_outputs(np.zeros(6))
    dead, _ = channel_ranges(graph)
    assert dead.spread_after == 1.0
    assert not dead.after.any()


def test_the_number_of_boxes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MOST_LAYERS", 3)
    monkeypatch.setattr(weights, "BOXES", 6 * 20)
    graph = ig.load(net([4, 50, 40, 30, 20, 2]))
    layers = channel_ranges(graph)
    assert [layer.layer for layer in layers] == sorted(layer.layer for layer in layers)
    assert len(layers) == 3
    assert all(len(layer.shown) <= 20 for layer in layers)
    assert all(len(set(layer.shown.tolist())) == len(layer.shown) for layer in layers)
