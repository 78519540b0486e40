"""Pad goes into what is behind it where the border means the same there, and stays elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from intaglio_tests.onnx_net import Net, check

f = np.float32
Build = Callable[[Net, str], str]
AROUND = [0, 0, 1, 0, 0, 0, 1, 2]


def pad(net: Net, x: str, value: float | None = None, pads: list[int] = AROUND, **attributes: str) -> str:
    extra = [] if value is None else [f(value)]
    return net.op("Pad", x, pads, *extra, **attributes)


TAKEN: list[tuple[str, Build, list[str]]] = [
    ("conv", lambda net, x: net.conv(pad(net, x), 4, 2), ["Conv"]),
    ("padded conv", lambda net, x: net.conv(pad(net, x, 0.0), 4, 2, pads=[1, 0, 0, 1], strides=[2, 2]), ["Conv"]),
    (
        "two convs",
        lambda net, x: net.op("Concat", net.conv(p := pad(net, x), 4, 2), net.conv(p, 4, 3), axis=1),
        ["Conv", "Conv", "Concat"],
    ),
    ("two pads", lambda net, x: net.conv(pad(net, pad(net, x)), 4, 2, kernel=5), ["Conv"]),
    (
        "average that counts",
        lambda net, x: net.op("AveragePool", pad(net, x), kernel_shape=[3, 3], count_include_pad=1, pads=[1, 1, 1, 0]),
        ["AveragePool"],
    ),
    ("average without pads", lambda net, x: net.op("AveragePool", pad(net, x), kernel_shape=[3, 3]), ["AveragePool"]),
    (
        "maximum, border below all",
        lambda net, x: net.op("MaxPool", pad(net, x, -np.inf), kernel_shape=[3, 3]),
        ["MaxPool"],
    ),
    *(
        (
            f"maximum, border {border:g}",
            lambda net, x, border=border: net.op("MaxPool", pad(net, x, border), kernel_shape=[3, 3]),  # type: ignore[misc]
            ["MaxPool"],
        )
        for border in (np.finfo(f).min, -1e9)
    ),
    (
        "maximum, zeros around relu",
        lambda net, x: net.op("MaxPool", pad(net, net.op("Relu", x)), kernel_shape=[3, 3]),
        ["Relu", "MaxPool"],
    ),
    (
        "maximum, border at a clip",
        lambda net, x: net.op("MaxPool", pad(net, net.op("Clip", x, f(-0.5), f(2)), -0.5), kernel_shape=[3, 3]),
        ["Clip", "MaxPool"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_pad_is_taken(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Sin", net.input("x", (1, 4, 8, 8)))))
    check(net, ["Sin", *expected], rng)


KEPT: list[tuple[str, Build, list[str]]] = [
    ("border of ones", lambda net, x: net.conv(pad(net, x, 1.0), 4, 2), ["Pad", "Conv"]),
    ("reflection", lambda net, x: net.conv(pad(net, x, mode="reflect"), 4, 2), ["Pad", "Conv"]),
    ("a cut", lambda net, x: net.conv(pad(net, x, pads=[0, 0, 1, 0, 0, 0, -1, 0]), 4, 2), ["Pad", "Conv"]),
    ("channels", lambda net, x: net.conv(pad(net, x, pads=[0, 1, 0, 0, 0, 0, 0, 0]), 5, 2), ["Pad", "Conv"]),
    (
        "average that skips its pads",
        lambda net, x: net.op("AveragePool", pad(net, x), kernel_shape=[3, 3], pads=[1, 1, 1, 0]),
        ["Pad", "AveragePool"],
    ),
    (
        "average wider than its window",
        lambda net, x: net.op("AveragePool", pad(net, x), kernel_shape=[2, 2]),
        ["Pad", "AveragePool"],
    ),
    (
        "maximum of signed numbers",
        lambda net, x: net.op("MaxPool", pad(net, x), kernel_shape=[3, 3]),
        ["Pad", "MaxPool"],
    ),
    (
        "maximum, border that data may reach",
        lambda net, x: net.op("MaxPool", pad(net, net.op("Exp", net.op("Exp", x)), 2.0), kernel_shape=[3, 3]),
        ["Exp", "Exp", "Pad", "MaxPool"],
    ),
    (
        "maximum, border above",
        lambda net, x: net.op("MaxPool", pad(net, net.op("Relu", x), 0.5), kernel_shape=[3, 3]),
        ["Relu", "Pad", "MaxPool"],
    ),
    (
        "read elsewhere",
        lambda net, x: net.op(
            "Add", net.conv(p := pad(net, x, pads=[0, 0, 1, 1, 0, 0, 1, 1]), 4, 4, kernel=1), net.op("Exp", p)
        ),
        ["Pad", "Conv", "Exp", "Add"],
    ),
]


@pytest.mark.parametrize(("build", "expected"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_pad_stays(build: Build, expected: list[str], rng: np.random.Generator) -> None:
    net = Net()
    net.output(build(net, net.op("Sin", net.input("x", (1, 4, 8, 8)))))
    check(net, ["Sin", *expected], rng)
