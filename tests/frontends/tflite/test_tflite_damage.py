"""Damaged and unusual .tflite files: an error that says what is wrong, or a valid model; never anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.tflite_net import TfliteNet

import intaglio as ig
from intaglio.frontends.quantized.load import is_quantized_file
from intaglio.frontends.tflite import schema

ROUNDS = 150


def dense(net: TfliteNet, *, zero_point: int = 0, scales: int = 3, axis: int = 0, weight_bytes: int = 12) -> bytes:
    """A fully connected layer of 4 inputs and 3 outputs."""
    rng = np.random.default_rng(3)
    x = net.input((1, 4), np.int8, 0.05, zero_point)
    weight = net.tensor((3, 4), np.int8, [0.01] * scales, 0, axis=axis, data=rng.integers(-127, 128, weight_bytes))
    bias = net.constant(rng.integers(-100, 100, 3).astype(np.int32), [0.0005] * 3)
    y = net.tensor((1, 3), np.int8, 0.02, 3)
    net.op("FULLY_CONNECTED", [x, weight, bias], [y], "FullyConnectedOptions")
    return net.content([y])


def load(content: bytes, folder: Path) -> object:
    path = folder / "one.tflite"
    path.write_bytes(content)
    return ig.load_quantized(path) if is_quantized_file(path) else ig.load(path)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.25:
        return content[: int(rng.integers(len(content)))]
    found = bytearray(content)
    for place in rng.integers(len(found), size=int(rng.integers(1, 6))):
        if rng.random() < 0.3:
            found[place] = int(rng.choice([0, 1, 127, 128, 255]))
        else:
            found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def test_damaged_files_are_errors_or_valid_models(tmp_path: Path, rng: np.random.Generator) -> None:
    content = dense(TfliteNet())
    found: Counter[str] = Counter()
    for _ in range(ROUNDS):
        try:
            load(damaged(content, rng), tmp_path)
            found["valid"] += 1
        except ig.IntaglioError:
            found["error"] += 1
    assert found["valid"] > ROUNDS // 20
    assert found["error"] > ROUNDS // 5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda net: dense(net, zero_point=300),
            "tensor 't0': expected zero points from -128 to 127 for INT8, got 300",
        ),
        (lambda net: dense(net, scales=2), r"expected one scale, or as many as an axis .* got 2 scales along axis 0"),
        (lambda net: dense(net, axis=5), r"got 3 scales along axis 5 of shape \(3, 4\)"),
        (lambda net: dense(net, axis=1, scales=4), "one for each of 3 output channels, got 4 along axis 1"),
        (lambda net: dense(net, weight_bytes=7), r"tensor 't1': expected 12 bytes for shape \(3, 4\) of INT8, got 7"),
        (lambda net: dense(net)[:6], "expected a .tflite file, whose bytes 4 to 7 are TFL3, got .* in 6 bytes"),
        (lambda net: b"", "expected a model, got an empty file"),
    ],
)
def test_wrong_parameters_are_named(make: Callable[[TfliteNet], bytes], text: str, tmp_path: Path) -> None:
    with pytest.raises(ig.IntaglioError, match=text):
        load(make(TfliteNet()), tmp_path)


def test_custom_operators_are_refused_by_name(tmp_path: Path) -> None:
    net = TfliteNet()
    x, y = net.input((1, 4)), net.tensor((1, 4))
    net.op("CUSTOM", [x], [y])
    net.model.operatorCodes[0].customCode = "Swirl"
    with pytest.raises(ig.IntaglioError, match=r"\[CUSTOM Swirl 0\] expected TFLite's own operators, got a custom one"):
        load(net.content([y]), tmp_path)


def test_sizes_known_only_at_run_time_are_refused(tmp_path: Path) -> None:
    net = TfliteNet()
    x, y = net.input((1, 4)), net.tensor((1, 4))
    net.op("ABS", [x], [y])
    net.graph.tensors[x].shapeSignature = [1, -1]
    with pytest.raises(ig.IntaglioError, match="input 't0': expected known sizes but for the batch, got axis 1 open"):
        load(net.content([y]), tmp_path)


def test_a_missing_schema_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = dense(TfliteNet())
    schema.schema.cache_clear()
    monkeypatch.setattr(schema, "_PACKAGES", ("no_such_package",))
    with pytest.raises(ig.IntaglioError, match=r"install the extra: pip install 'intaglio\[tflite\]'"):
        load(content, tmp_path)
    schema.schema.cache_clear()
