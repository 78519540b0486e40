"""Files with QONNX' quantizers become integer programs that compute what the file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intaglio_tests.qdq_net import Net
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import intaglio as ig
from intaglio.errors import AlreadyQuantizedError, IntaglioError
from intaglio.frontends.quantized.load import load_quantized_graph
from intaglio.number import INT32, IntType

DOMAIN = "qonnx.custom_op.general"


class Quant(OpRun):
    """The operator as its specification has it."""

    op_domain = DOMAIN

    def _run(self, x: Any, s: Any, z: Any, b: Any, signed: int, narrow: int, rounding_mode: str) -> tuple[Any]:
        low = -(2 ** (b - 1)) + narrow if signed else 0 * b
        high = 2 ** (b - 1) - 1 if signed else 2**b - 1 - narrow
        assert rounding_mode == "ROUND" or not s.shape, "only a constant has another mode here"
        rounded = {"ROUND": np.rint, "FLOOR": np.floor}[rounding_mode](np.clip(x / s + z, low, high))
        return (((rounded - z) * s).astype(np.float32),)


class BipolarQuant(OpRun):
    op_domain = DOMAIN

    def _run(self, x: Any, s: Any) -> tuple[Any]:
        return (np.where(x >= 0, s, -s).astype(np.float32),)


class QonnxNet(Net):
    """A network in the making with QONNX' quantizers."""

    def quant(
        self, x: Any, scale: Any, bits: float, *, signed: int = 1, narrow: int = 0, zero: float = 0, mode: str = "ROUND"
    ) -> str:
        given = (np.asarray(scale, np.float32), np.float32(zero), np.float32(bits))
        return self.op("Quant", x, *given, domain=DOMAIN, signed=signed, narrow=narrow, rounding_mode=mode)

    def bipolar(self, x: Any, scale: float) -> str:
        return self.op("BipolarQuant", x, np.float32(scale), domain=DOMAIN)

    def saved(self, folder: Path, shape: tuple[int | str, ...], *outputs: str) -> Path:
        model = self.model(shape, *outputs)
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
        onnx.save(model, folder / "net.onnx")
        return folder / "net.onnx"


def reference(path: Path, x: NDArray[np.float32]) -> Any:
    return ReferenceEvaluator(onnx.load(path), new_ops=[Quant, BipolarQuant]).run(None, {"x": x})[0]


def convolutions(net: QonnxNet) -> str:
    """Weights of 4 bits with a scale for each channel, ternary, of one bit; values of 8, 4 and 6 bits."""
    x = net.quant("x", 2.0**-5, 8, zero=4)  # even, as with an odd one Quant's ties are not those of QuantizeLinear
    per_channel = (2.0 ** -net.rng.integers(2, 5, 8)).reshape(8, 1, 1, 1)
    y = net.op(
        "Conv", x, net.quant(net.normal(8, 4, 3, 3), per_channel, 4, narrow=1), net.quant(net.normal(8), 2.0**-7, 16)
    )
    y = net.quant(net.op("Relu", y), 2.0**-2, 4, signed=0)
    y = net.op("Conv", y, net.bipolar(net.normal(6, 8, 1, 1), 2.0**-3), pads=[0] * 4)
    y = net.quant(y, 2.0**-3, 6)
    y = net.op("Conv", y, net.quant(net.normal(6, 6, 3, 3), 2.0**-2, 2, narrow=1, mode="FLOOR"))
    return net.quant(y, 2.0**-2, 8)


def dense(net: QonnxNet) -> str:
    """A bias with a quantizer of 32 bits, as Brevitas writes it; a scale of a value for each channel."""
    x = net.quant("x", 2.0**-4, 8)
    y = net.op("Flatten", x)
    bias = net.quant(net.normal(12), 2.0**-9, 32)
    y = net.op("Gemm", y, net.quant(net.normal(12, 144), 2.0**-5, 3), bias, transB=1)
    return net.quant(y, 2.0**-3, 8, zero=-2)


def summed(net: QonnxNet) -> str:
    x = net.quant("x", 2.0**-5, 8)
    y = net.quant(net.op("MaxPool", x, kernel_shape=[2, 2]), 2.0**-5, 8)
    other = net.quant(net.op("AveragePool", x, kernel_shape=[2, 2]), 2.0**-6, 8, signed=0, zero=128)
    return net.quant(net.op("Add", y, other), 2.0**-4, 7)


@pytest.mark.parametrize("build", [convolutions, dense, summed])
def test_the_program_computes_what_the_file_says(build: Callable[[QonnxNet], str], tmp_path: Path) -> None:
    net = QonnxNet(opset=13)
    path = net.saved(tmp_path, ("N", 4, 6, 6), build(net))
    x = (np.random.default_rng(1).integers(-300, 300, (32, 4, 6, 6)) * 2.0**-7).astype(np.float32)
    program = ig.load_quantized(path).lower()
    np.testing.assert_array_equal(program.run(x), reference(path, x))
    np.testing.assert_array_equal(ig.compile(program, "portable", tmp_path / "c").run(x), program.run(x))


def test_types_are_those_of_the_file(tmp_path: Path) -> None:
    net = QonnxNet(opset=13)
    graph, plan, history = load_quantized_graph(net.saved(tmp_path, ("N", 4, 6, 6), dense(net)))
    (layer,) = (node for node in graph.nodes if node.op_type == "Gemm")
    weight, bias = (plan.params(str(layer.inputs[index].name)) for index in (1, 2))  # type: ignore[union-attr]
    assert weight is not None and weight.type == IntType(3) and bias is not None and bias.type == INT32
    assert history[0] == "4 quantizers of QONNX are read as QuantizeLinear and DequantizeLinear"


def test_a_file_of_quantizers_is_no_float_network(tmp_path: Path) -> None:
    net = QonnxNet(opset=13)
    with pytest.raises(AlreadyQuantizedError, match="intaglio.load_quantized"):
        ig.load(net.saved(tmp_path, ("N", 4, 6, 6), summed(net)))


REFUSED: dict[str, tuple[Callable[[QonnxNet], str], str]] = {
    "a value of one bit": (lambda net: net.bipolar("x", 0.5), "2 to 16 bits"),
    "another rounding mode": (lambda net: net.quant("x", 0.5, 8, mode="FLOOR"), "got 8 bits and FLOOR"),
    "an unknown rounding mode": (lambda net: net.quant("x", 0.5, 8, mode="COIN"), "a rounding mode of ROUND"),
    "many bits": (lambda net: net.quant("x", 0.5, 24), "2 to 16 bits"),
    "a part of a bit": (lambda net: net.quant("x", 0.5, 7.5), "one constant integer, got [7.5]"),
    "scales along two axes": (lambda net: net.quant("x", np.full((4, 6), 0.5), 8), "one for each channel"),
    "a computed scale": (
        lambda net: net.op(
            "Quant", "x", net.op("ReduceMax", "x"), np.float32(0), np.float32(8),
            domain=DOMAIN, signed=1, narrow=0, rounding_mode="ROUND",
        ),
        "constant scale",
    ),
    "another operator": (
        lambda net: net.op("Trunc", "x", np.float32(1), np.float32(0), np.float32(8), np.float32(4), domain=DOMAIN),
        "BipolarQuant, IntQuant, Quant",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_what_a_program_cannot_have_is_refused(form: str, tmp_path: Path) -> None:
    build, text = REFUSED[form]
    net = QonnxNet(opset=13)
    path = net.saved(tmp_path, ("N", 4, 6, 6), build(net))
    with pytest.raises(IntaglioError, match="expected") as caught:
        ig.load_quantized(path)
    assert text in str(caught.value)
