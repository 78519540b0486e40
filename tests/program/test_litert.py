"""The rule `tflite` against LiteRT's reference kernels, tensor by tensor, on networks that others quantized."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact

from intaglio.number import IntType, PerChannel, PerTensor, QuantParams, Rule
from intaglio.program import Operator
from intaglio.program.operators.add import Add
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.requantize import Requantize
from intaglio.program.operators.softmax_tflite import SoftmaxTflite

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert (extra `peers`)")

FILES = {
    "mlperf-tiny/pretrainedResnet_quant.tflite": {"ADD": 3, "AVERAGE_POOL_2D": 1, "CONV_2D": 9, "SOFTMAX": 1},
    "mlperf-tiny/kws_ref_model.tflite": {"AVERAGE_POOL_2D": 1, "CONV_2D": 5, "DEPTHWISE_CONV_2D": 4, "SOFTMAX": 1},
    "foreign-int8/mobilenet_v1_0.25_128_quant.tflite": {
        "AVERAGE_POOL_2D": 1, "CONV_2D": 15, "DEPTHWISE_CONV_2D": 13, "SOFTMAX": 1,
    },
    "flowers/mobilenet_v2_0.35_128_int8.tflite": {
        "ADD": 10, "CONV_2D": 35, "DEPTHWISE_CONV_2D": 17, "QUANTIZE": 1, "SOFTMAX": 1,
    },
}  # fmt: skip


class Tensor:
    def __init__(self, interpreter: Any, detail: dict[str, Any]) -> None:
        self.codes = interpreter.get_tensor(detail["index"])
        self.type = IntType.of(self.codes.dtype) if self.codes.dtype.kind in "iu" else None
        quantization = detail["quantization_parameters"]
        scales, zero_points = quantization["scales"], quantization["zero_points"]
        self.params = None
        if self.type is not None and scales.size:
            one = scales.size == 1
            self.params = QuantParams(
                self.type,
                scales.reshape(() if one else -1),
                zero_points.reshape(() if one else -1),
                PerTensor() if one else PerChannel(0),
            )


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def candidates(name: str, x: list[Tensor], y: Tensor) -> list[tuple[Operator, list[np.ndarray]]]:
    """The operator; several where the Python interface does not tell an attribute, told apart by shapes and results."""
    p, first = [t.params for t in x], x[0].codes
    zero = int(y.params.zero_point)
    clamps = [(None, None), (zero, None), (zero, zero + round(6 / float(y.params.scale)))]
    if name == "SOFTMAX":
        return [(SoftmaxTflite.from_real(p[0], y.params), [first])]
    if name == "QUANTIZE":
        return [(Requantize.from_real(p[0], y.params, rule=Rule.TFLITE), [first])]
    if name == "ADD":
        return [
            (Add.from_real(p[0], p[1], y.params, rule=Rule.TFLITE, low=low, high=high), [first, x[1].codes])
            for low, high in clamps
        ]
    size = first.shape[1:3]
    if name == "AVERAGE_POOL_2D":
        kernel = (size[0] // y.codes.shape[1], size[1] // y.codes.shape[2])
        return [(AveragePool2d.from_real(p[0], y.params, input_shape=size, kernel=kernel, rule=Rule.TFLITE), [first])]
    weight = x[1].codes if name == "CONV_2D" else x[1].codes.transpose(3, 1, 2, 0)
    groups = 1 if name == "CONV_2D" else first.shape[3]
    found = []
    for stride in (1, 2):
        rows, columns = (same_pads(size[i], weight.shape[i + 1], stride) for i in (0, 1))
        for pads in ((0, 0, 0, 0), (rows[0], columns[0], rows[1], columns[1])):
            for low, high in clamps:
                operator = Conv2d.from_real(
                    p[0], p[1], y.params, weight, x[2].codes, Rule.TFLITE,
                    strides=(stride, stride), pads=pads, groups=groups, low=low, high=high,
                )  # fmt: skip
                found.append((operator, [first]))
    return [(o, i) for o, i in found if o.shape(*(v.shape for v in i)) == y.codes.shape]


@pytest.mark.parametrize("file", FILES)
def test_operators_equal_the_reference_kernels(file: str, shared_data: Path, rng: np.random.Generator) -> None:
    interpreter = litert.Interpreter(
        str(shared_data / file),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    info = np.iinfo(detail["dtype"])
    interpreter.set_tensor(
        detail["index"], rng.integers(info.min, info.max + 1, detail["shape"]).astype(detail["dtype"])
    )
    interpreter.invoke()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    exact: Counter[str] = Counter()
    for op in interpreter._get_ops_details():
        if op["op_name"] not in FILES[file]:
            continue
        x, (y,) = ([Tensor(interpreter, details[i]) for i in op[key]] for key in ("inputs", "outputs"))
        if any(t.params is None for t in (*x[:2], y)):
            continue
        best: AssertionError | None = None
        for operator, inputs in candidates(op["op_name"], x, y):
            try:
                assert_bit_exact(operator.integer(*inputs), y.codes, op["op_name"])
                exact[op["op_name"]] += 1
                best = None
                break
            except AssertionError as error:
                best = error
        if best is not None:
            raise best
    assert exact == FILES[file]
