"""ONNX Runtime's quantizer takes models in the forms that exporters write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from intaglio_tests.onnx_net import Net
from intaglio_tests.onnxruntime_session import needs_to_read

from intaglio.bench.engine import Unavailable
from intaglio.bench.quantizers import quantize_onnxruntime, strip_ends


def test_weights_beside_the_model(tmp_path: Path) -> None:
    """PyTorch's exporter writes them so by default."""
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra `peers`)")
    net = Net()
    net.output(net.op("MatMul", net.input("x", (1, 16)), net.normal(16, 8)))
    source, out = tmp_path / "net.onnx", tmp_path / "int8.onnx"
    onnx.save(net.model(), source, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    needs_to_read(source)
    quantize_onnxruntime(source, [{"x": np.ones((1, 16), np.float32)}], out)
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}


def test_a_network_whose_ends_stay_float_is_named_without_its_file(tmp_path: Path) -> None:
    net = Net()
    net.output(net.op("Relu", net.input("x", (1, 16))))
    onnx.save(net.model(), tmp_path / "net.onnx")
    with pytest.raises(Unavailable) as reason:
        strip_ends(tmp_path / "net.onnx", tmp_path / "out.onnx")
    assert str(reason.value) == "ONNX Runtime's quantizer left input 'x' as float"
