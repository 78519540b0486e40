"""Trained networks of the shared data, with real inputs, as Programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import intaglio as ig
from intaglio.data import open_data
from intaglio.program import Program


@dataclass(frozen=True)
class Network:
    """A trained network of the shared data, and real inputs for it: a descriptor, or an .npz with `input`."""

    model: str
    data: str
    calibration: str = ""

    def inputs(self, folder: Path, count: int) -> np.ndarray:
        return self._read(folder / self.data, count)

    def calibrate_on(self, folder: Path, count: int) -> np.ndarray:
        return self._read(folder / (self.calibration or self.data), count)

    def _read(self, path: Path, count: int) -> np.ndarray:
        if path.suffix == ".npz":
            x = np.load(path)["input"]
            return np.asarray(x.reshape(-1, *x.shape[2:])[:count])
        return np.concatenate([x for x, _ in open_data(path, limit=count).batches(count)])


NETWORKS = {
    "resnet8": Network("mlperf-tiny/resnet8.onnx", "cifar10/test-tiny.toml", "cifar10/train-tiny.toml"),
    "resnet20": Network("cifar10/resnet20.onnx", "cifar10/test-resnet20.toml", "cifar10/train-resnet20.toml"),
    "mobilenetv2": Network("cifar10/mobilenetv2.onnx", "cifar10/test.toml", "cifar10/train.toml"),
    "mobilenet_v2_flowers": Network(
        "flowers/mobilenet_v2_0.35_128.onnx", "flowers/test-128.toml", "flowers/calib-128.toml"
    ),
    "mobilenet_v1_imagenet": Network(
        "imagenet/mobilenet_v1_0.25_224.onnx", "imagenet/test.toml", "imagenet/calib.toml"
    ),
    "vww": Network("mlperf-tiny/vww_mobilenet_v1_0.25.onnx", "mlperf-tiny/vww_96_float_litert_io.npz"),
    "autoencoder": Network("mlperf-tiny/ad_autoencoder.onnx", "mlperf-tiny/ad01_fp32_litert_io.npz"),
}
TARGETS = (
    "cpu-int8",
    "tflite-int8",
    "int8-symmetric",
    "int8-per-tensor",
    "uint8-asymmetric",
    "power2-int8",
    "mcu-int8",
    "int16x8",
)
FOREIGN = (
    "foreign-int8/ort/resnet20_qdq_s8s8_perchannel.onnx",
    "foreign-int8/ort/resnet20_qdq_u8s8_pertensor.onnx",
    "foreign-int8/ort/resnet20_qop_u8s8_perchannel.onnx",
)


@cache
def lowered(name: str, target: str, folder: Path) -> Program:
    network = NETWORKS[name]
    data = network.calibrate_on(folder, 16)
    quantized = ig.quantize(folder / network.model, data, target, calibrator=None, bias_correction=False)
    return quantized.lower()
