"""Post-processing is cut off, and runs in float on the outputs of the program."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net
from intaglio_tests.onnxruntime_session import session

import intaglio as ig
from intaglio.errors import DataError, UnsupportedOperatorError
from intaglio.frontends import load


def body(net: Net, batch: int | str = "N") -> tuple[str, str]:
    """Boxes (batch, 64, 4) and scores (batch, 3, 64) of an image."""
    x = net.input("x", (batch, 3, 16, 16))
    h = net.op(
        "Relu", net.op("Conv", x, net.normal(8, 3, 3, 3, scale=0.2), net.normal(8), pads=[1] * 4, strides=[2, 2])
    )
    boxes = net.op("Conv", h, net.normal(4, 8, 1, 1, scale=0.2), net.normal(4))
    scores = net.op("Conv", h, net.normal(3, 8, 1, 1, scale=0.2), net.normal(3))
    flat = net.op("Reshape", boxes, [0, 4, -1], name="flat_boxes")
    return net.op("Transpose", flat, perm=[0, 2, 1]), net.op(
        "Sigmoid", net.op("Reshape", scores, [0, 3, -1]), name="scores"
    )


def detector(batch: int | str = "N") -> onnx.ModelProto:
    net = Net()
    boxes, scores = body(net, batch)
    limits = [np.array([5], np.int64), np.array([0.5], np.float32), np.array([0.3], np.float32)]
    chosen = net.op("NonMaxSuppression", boxes, scores, *limits, name="nms")
    index = net.op("Squeeze", net.op("Slice", chosen, [2], [3], [1]), [1])
    net.output(net.op("Gather", net.op("Squeeze", boxes, [0]), index, name="picked"))
    return net.output("nms", dtype=onnx.TensorProto.INT64).model()


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("batch", ["N", 1])
def test_a_detector_works_from_image_to_boxes(batch: int | str) -> None:
    proto = detector(batch)
    graph = load(proto)
    assert graph.batched
    assert [v.name for v in graph.outputs] == graph.tail.inputs
    q = ig.quantize(graph, images(8), target="int16x8", calibrator="max", equalize=False, bias_correction=False)
    x = images(1)
    found = q.tail.run(q.lower().run(x))
    picked, chosen = session(proto).run(None, {"x": x})
    np.testing.assert_array_equal(found["nms"], chosen)
    np.testing.assert_allclose(found["picked"], picked, atol=0.05)
    np.testing.assert_array_equal(q.tail.run(q.simulate(x))["nms"], chosen)


def test_the_cut_is_said() -> None:
    graph = load(detector())
    assert graph.history[0].startswith(
        "post-processing from [NonMaxSuppression 'node_nms'] on (7 operators) stays in float: the network ends at "
    )
    assert graph.history[0].endswith("the tail computes picked, nms from conv_3, scores")


def test_folders_hold_the_tail(tmp_path) -> None:
    q = ig.quantize(load(detector()), images(4), calibrator="max", equalize=False, bias_correction=False)
    names = {path.name for path in q.save(tmp_path / "q")}
    assert "tail.onnx" in names
    assert [v.name for v in onnx.load(tmp_path / "q" / "tail.onnx").graph.output] == ["picked", "nms"]
    with pytest.raises(DataError, match=r"tail: expected the network's outputs conv_3, scores in this order, got 1"):
        q.tail.run(images(1))


def test_a_threshold_before_non_zero_belongs_to_the_tail() -> None:
    net = Net()
    _, scores = body(net)
    net.output(scores)
    net.output(
        net.op("NonZero", net.op("Greater", scores, np.float32(0.5)), name="where"), dtype=onnx.TensorProto.INT64
    )
    proto = net.model()
    graph = load(proto)
    assert [v.name for v in graph.outputs] == ["scores"]
    (want, where) = session(proto).run(None, {"x": images(1)})
    np.testing.assert_array_equal(graph.tail.run(want)["where"], where)


def test_peaks_that_equal_their_neighbours_maximum_stay_in_the_program() -> None:
    net = Net()
    x = net.input("x", ("N", 3, 16, 16))
    heat = net.op("Sigmoid", net.op("Conv", x, net.normal(4, 3, 3, 3), pads=[1] * 4), name="heat")
    largest = net.op("MaxPool", heat, kernel_shape=[3, 3], pads=[1] * 4, name="largest")
    peak = net.op("Cast", net.op("Equal", largest, heat), to=onnx.TensorProto.FLOAT)
    proto = net.output(net.op("Mul", heat, peak, name="peaks")).model()
    q = ig.quantize(load(proto), images(8), target="int16x8", calibrator="max")
    assert [v.name for v in q.graph.outputs] == ["peaks"]
    program = q.lower()
    peaks = program.run(images(1))
    values = program.trace_real(images(1))
    heat, largest = values["heat"], values["largest"]  # both on one grid
    np.testing.assert_array_equal(peaks != 0, (heat == largest) & (heat != 0))
    assert 0 < np.count_nonzero(peaks) < peaks.size / 4


def test_largest_values_at_the_end() -> None:
    net = Net()
    _, scores = body(net)
    net.output(*net.op("TopK", scores, [5], outputs=2, axis=-1)[:1])
    graph = load(net.model())
    assert graph.tail is None or [v.name for v in graph.outputs] == ["scores"]


def test_layers_behind_post_processing_are_refused_by_name() -> None:
    net = Net()
    boxes, scores = body(net)
    chosen = net.op("NonZero", net.op("Greater", scores, np.float32(0.5)))
    rows = net.op("Gather", net.op("Squeeze", boxes, [0]), net.op("Gather", chosen, np.int64(2)))
    net.output(net.op("MatMul", rows, net.normal(4, 32), name="head"))
    text = r"\[NonZero '.*'\] expected post-processing, with no layers behind it, got \[MatMul 'node_head'\]"
    with pytest.raises(UnsupportedOperatorError, match=text):
        load(net.model())


def test_a_network_that_begins_with_it_is_refused_by_name() -> None:
    net = Net()
    x = net.input("x", (1, 3, 8, 8))
    net.output(net.op("NonZero", x, name="all"), dtype=onnx.TensorProto.INT64)
    with pytest.raises(
        UnsupportedOperatorError, match=r"\[NonZero 'node_all'\] expected layers before post-processing"
    ):
        load(net.model())
