"""Pictures of uint8 as inputs: the integers are those of a program that gets them normalized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import UsageError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def made(
    mean: Any, std: Any, target: str = "cpu-int8"
) -> tuple[ig.Program, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A program, pixels (N, H, W, C), and what its data look like."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    pixels[0, 0, :2] = [[0] * 3, [255] * 3]
    real = (pixels.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)
    x = np.ascontiguousarray(real.transpose(0, 3, 1, 2))
    graph = ig.load(module, torch.from_numpy(x[:1]))
    return ig.quantize(graph, x, target=target, calibrator="max").lower(), pixels, x


@pytest.mark.parametrize("target", ["cpu-int8", "mcu-int8", "int16x8"])
@pytest.mark.parametrize(("mean", "std"), [(MEAN, STD), (0.0, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", None])
def test_pixels_give_the_integers_of_normalized_pictures(
    layout: str | None, mean: Any, std: Any, target: str, tmp_path: Path
) -> None:
    program, pixels, x = made(mean, std, target)
    want = program.run(x)
    taking = program.with_pixels(mean, std, layout)
    taking.verify()
    given = pixels if layout == "NHWC" else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(taking.run(given), want)
    np.testing.assert_array_equal(taking.run_int(given), program.run_int(*program.quantize_inputs(x)))
    taking.save(tmp_path / "p.intaglio")
    read = ig.load_program(tmp_path / "p.intaglio")
    native = ig.compile(read, machine="portable", directory=tmp_path / "c")
    np.testing.assert_array_equal(native.run_int(given), taking.run_int(given))
    if layout == "NHWC":
        assert "transpose" not in {node.operator.kind for node in taking.nodes[:2]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mean": (0.1, 0.2)}, r"mean: expected one number, or one for each of 3 channels, got \(0.1, 0.2\)"),
        ({"std": 0.0}, "std: expected one number above 0"),
        ({"layout": "CHW"}, "layout: expected NCHW or NHWC, got 'CHW'"),
        ({"name": "y"}, "name: expected one of the inputs"),
        ({"mean": 0.5, "std": 1 / 255}, r"of which 1\d\d|2\d\d of 256 values lie outside; give the mean"),
    ],
)
def test_what_the_input_cannot_hold_is_refused(arguments: dict[str, Any], text: str) -> None:
    program, _, _ = made(MEAN, STD)
    with pytest.raises(UsageError, match=text):
        program.with_pixels(**arguments)


def test_an_input_that_is_no_picture_is_refused() -> None:
    module = nn.Linear(4, 2).eval()
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    program = ig.quantize(ig.load(module, torch.from_numpy(x[:1])), x, target="cpu-int8", calibrator="max").lower()
    with pytest.raises(UsageError, match="expected pictures, four axes of real numbers, got the shape"):
        program.with_pixels()
