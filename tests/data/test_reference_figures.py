"""The preprocessing is that of the networks' authors: their float accuracy comes out to the last image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.onnxruntime_session import session

from intaglio.data import open_data


def top1(model: Path, descriptor: Path, limit: int | None, batch: int) -> float:
    runtime = session(model)
    name = runtime.get_inputs()[0].name
    right = total = 0
    for x, y in open_data(descriptor, limit=limit).batches(batch):
        right += int(np.sum(runtime.run(None, {name: x})[0].argmax(1) == y))
        total += len(x)
    return 100 * right / total


@pytest.mark.parametrize(
    ("model", "descriptor", "batch", "want"),
    [
        ("flowers/mobilenet_v2_0.35_128.onnx", "flowers/test-128.toml", 1, 85.33),
        ("imagenet/mobilenet_v1_0.25_224.onnx", "imagenet/test.toml", 1, 55.75),
        pytest.param("cifar10/resnet20_bn.onnx", "cifar10/test-resnet20.toml", 250, 88.29, marks=pytest.mark.slow),
    ],
)
def test_float_accuracy_is_that_of_the_data_sheet(
    model: str, descriptor: str, batch: int, want: float, shared_data: Path
) -> None:
    assert round(top1(shared_data / model, shared_data / descriptor, None, batch), 2) == want
