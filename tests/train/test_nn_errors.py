"""Whatever has no format in the integer program is refused by name; formats read as they are written."""

from __future__ import annotations

import pytest
import torch

import intaglio as ig
from intaglio.errors import ModelError, UsageError
from intaglio.number import BIPOLAR, INT8, IntType, PerChannel, PerTensor, Scheme
from intaglio.plan import Format
from intaglio.train import nn
from intaglio.train.nn.format_names import value_format, weight_format

X = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)


class Two(torch.nn.Module):
    """Two convolutions and what a test does with them."""

    def __init__(self, use, **options) -> None:
        super().__init__()
        self.use, self.input = use, nn.Input()
        self.a, self.b = nn.Conv2d(1, 2, 3, **options), nn.Conv2d(2, 2, 3)
        self.relu = nn.ReLU("uint8") if options else nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.use(self, x)


@pytest.mark.parametrize(
    ("use", "options", "text"),
    [
        (lambda n, x: n.a(x), {}, r"\[Conv2d\] expected a value with a format.*\(2, 1, 8, 8\).*Input"),
        (
            lambda n, x: n.b(torch.sigmoid(n.a(n.input(x)))),
            {},
            r"\[Conv2d\] expected a value with a format, got a plain",
        ),
        (lambda n, x: n.b(n.a(n.input(x)) * 2), {}, "results of PyTorch's own functions have no format"),
        (lambda n, x: n.b(n.a(n.input(x))), {"output": None}, "got the sums of a layer without an output format"),
    ],
)
def test_a_layer_refuses_a_value_without_a_format(use, options, text) -> None:
    with pytest.raises(UsageError, match=text):
        Two(use, **options)(X)


@pytest.mark.parametrize(
    ("use", "options", "text"),
    [
        (
            lambda n, x: torch.exp(n.b(n.a(n.input(x))) * 2),
            {},
            r"3 values without a format:\n.*\[Mul .*constant.*\n.*\[Mul .*\n.*\[Exp .*\n.*intaglio.train.nn",
        ),
        (
            lambda n, x: n.b(n.a(n.input(x))) + x[:, :, 2:-2, 2:-2],
            {},
            "value 'x': expected all its readers after one quantizer",
        ),
        (lambda n, x: (n.b(n.relu(n.a(n.input(x)))), n.a(n.input(x))), {"output": None}, r"1 values .*\n.*\[Conv "),
    ],
)
def test_freezing_lists_values_without_a_format(use, options, text) -> None:
    net = Two(use, **options)
    net(X)
    with pytest.raises(ModelError, match=text):
        ig.freeze(net, X[:1])


def test_modules_that_cannot_be_frozen_are_refused() -> None:
    net = Two(lambda n, x: n.b(n.a(n.input(x))))
    with pytest.raises(UsageError, match=r"input.output_quantizer: expected a grid, got a quantizer that has seen no"):
        ig.freeze(net, X[:1])
    net(X)
    with pytest.raises(UsageError, match="Two: expected example_inputs beside"):
        ig.freeze(net)
    with pytest.raises(UsageError, match="Linear: expected layers of intaglio.train.nn, got none"):
        ig.freeze(torch.nn.Linear(2, 2), torch.zeros(1, 2))


def test_torch_functions_that_move_elements_keep_the_grid() -> None:
    x = nn.Input()(X)
    for moved in (
        x.flatten(1),
        torch.nn.functional.max_pool2d(x, 2),
        x[:, :, 1:],
        x.transpose(1, 2).chunk(2, 3)[1],
        torch.nn.functional.pad(x, (1, 1)),
        torch.nn.functional.dropout(x, 0.0),
    ):
        assert moved.quantizer is x.quantizer
    for computed in (x + 1, x * x, torch.sigmoid(x), torch.nn.functional.avg_pool2d(x, 2), x.mean(1)):
        assert type(computed) is torch.Tensor


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("int8", Format(INT8, Scheme.SYMMETRIC, PerChannel(0))),
        ("int4n symmetric tensor", Format(IntType(4, narrow=True), Scheme.SYMMETRIC, PerTensor())),
        ("int8 power_of_two per channel", Format(INT8, Scheme.POWER_OF_TWO, PerChannel(0))),
        ("w4a8", Format(IntType(4, narrow=True), Scheme.SYMMETRIC, PerChannel(0))),
        ("w2", Format(IntType(2), Scheme.SYMMETRIC, PerChannel(0))),
        ("ternary", Format(IntType(2, narrow=True), Scheme.SYMMETRIC, PerChannel(0))),
        ("binary tensor", Format(BIPOLAR, Scheme.SYMMETRIC, PerTensor())),
        ("w1a1", Format(BIPOLAR, Scheme.SYMMETRIC, PerChannel(0))),
    ],
)
def test_formats_of_weights(text: str, format: Format) -> None:
    assert weight_format(text) == format
    assert weight_format(str(format)) == format


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("uint8", Format(IntType(8, signed=False), Scheme.ASYMMETRIC)),
        ("int8", Format(INT8, Scheme.SYMMETRIC)),
        ("int8 asymmetric", Format(INT8, Scheme.ASYMMETRIC)),
        ("w4a8", Format(IntType(8, signed=False), Scheme.ASYMMETRIC)),
        ("a16", Format(IntType(16), Scheme.SYMMETRIC)),
    ],
)
def test_formats_of_values(text: str, format: Format) -> None:
    assert value_format(text) == format
    assert value_format(str(format)) == format


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Conv2d(1, 1, 1, weight="int9k"), "format 'int9k': integer type: expected a name"),
        (lambda: nn.Conv2d(1, 1, 1, weight="a8"), "expected the bits of a weight, w8 or w8a8"),
        (lambda: nn.Conv2d(1, 1, 1, weight="int8 symmetric each"), "expected text such as"),
        (lambda: nn.Conv2d(1, 1, 1, weight=""), "expected text such as"),
        (lambda: nn.Input("int8 symmetric channel"), "expected one scale for a computed value"),
        (lambda: nn.Input("binary"), "use the layer Sign"),
        (
            lambda: nn.Conv2d(1, 1, 1, activation="gelu"),
            r"\[Conv2d\] activation: expected relu, relu6, hardtanh or None",
        ),
        (lambda: nn.Add(None, activation="relu"), "expected an output format beside activation='relu'"),
        (lambda: nn.Linear(1, 1, method="magic"), "method: expected one of"),
        (lambda: nn.Linear(1, 1, estimator="proxquant"), "expected one that needs only the forward pass"),
        (lambda: nn.Linear(1, 1, estimator="magic"), "estimator: expected one of"),
    ],
)
def test_invalid_arguments_are_refused(make, text) -> None:
    with pytest.raises(UsageError, match=text):
        make()
