"""Quantized layers, for networks that are quantized from the start.

    net = torch.nn.Sequential(
        nn.Input("uint8"),
        nn.ConvBn2d(3, 16, 3, padding=1, weight="int4n", activation="relu", output="uint4"),
        nn.GlobalAvgPool(output="uint8"),
        nn.Linear(16, 10, weight="int8n", output="int16"),
    )

Each layer is a `torch.nn.Module` whose operands have formats. It simulates the integer program and is trained by any
training loop; `intaglio.freeze(net, example_inputs)` returns Graph and Plan.
"""

from intaglio.train.nn.freeze_layers import freeze_layers
from intaglio.train.nn.function_layers import (
    GELU,
    HardSigmoid,
    HardSwish,
    Hardtanh,
    Input,
    LeakyReLU,
    ReLU,
    ReLU6,
    Requantize,
    Sigmoid,
    SiLU,
    Tanh,
)
from intaglio.train.nn.joining_layers import Add, Concat, Mul, Sub
from intaglio.train.nn.late import freeze_batch_norm, freeze_ranges
from intaglio.train.nn.lstm_layers import LSTM, LSTMCell
from intaglio.train.nn.pooling_layers import AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool1d, MaxPool2d
from intaglio.train.nn.product_layers import Conv1d, Conv2d, ConvBn1d, ConvBn2d, Linear
from intaglio.train.nn.sign_layer import Sign, piecewise_polynomial

__all__ = [
    "GELU",
    "LSTM",
    "Add",
    "AvgPool2d",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvBn1d",
    "ConvBn2d",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Hardtanh",
    "Input",
    "LSTMCell",
    "LeakyReLU",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "Mul",
    "ReLU",
    "ReLU6",
    "Requantize",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Sub",
    "Tanh",
    "freeze_batch_norm",
    "freeze_layers",
    "freeze_ranges",
    "piecewise_polynomial",
]
