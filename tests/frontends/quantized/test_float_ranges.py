"""Ranges of what a file leaves float."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from intaglio.frontends.quantized.float_ranges import distinguished
from intaglio.number import UINT8, QuantParams
from intaglio.ops.functions import FUNCTIONS


def node(op_type: str) -> ir.Node:
    x = ir.Value(name="x", shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT))
    return ir.Node("", op_type, [x], name="n")


@pytest.mark.parametrize("op_type", ["Sigmoid", "Tanh", "HardSwish", "Swish", "Gelu", "Elu", "LeakyRelu", "Mish"])
def test_codes_differ_inside_the_range_only(op_type: str) -> None:
    import torch

    params = QuantParams(UINT8, np.asarray(0.02, np.float32), np.asarray(30))
    low, high = distinguished(node(op_type), (-50.0, 60.0), params)
    x = np.linspace(-50, 60, 200_001)
    if op_type == "LeakyRelu":
        y = np.where(x < 0, 0.01 * x, x)
    else:
        y = FUNCTIONS[op_type](node(op_type), torch.from_numpy(x)).numpy()
    codes = params.quantize(y)
    assert np.unique(codes[x < low]).size <= 1
    assert np.unique(codes[x > high]).size <= 1
    grain = 110 / 2**16  # the samples with which the range is found
    assert codes[x < low + 3 * grain][-1] != codes[0] or low in (-50.0, 0.0)
    assert codes[x > high - 3 * grain][0] != codes[-1] or high in (60.0, 0.0)
    assert low > -50.0 or op_type == "LeakyRelu"
    assert high < 60.0
