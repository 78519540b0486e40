"""Networks of the speed benchmarks in PyTorch, with seeded random weights and without batch norm.

Latency does not depend on trained weights, but activations that are all zero or saturated would make the comparison
unfair. So the weights are scaled such that every layer's output has a mean near 0 and a standard deviation near 1 on
random inputs, as with trained batch norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a convolution with bias; `same` padding for odd kernels."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project. Source: Sandler et al. 2018, arXiv:1801.04381."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        expand = [conv(inputs, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [conv(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        self.layers = nn.Sequential(*expand, *depthwise, conv(hidden, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.layers(x)
        return x + y if self.residual else y


class Residual(nn.Module):
    """ResNet's basic block (3 x 3 twice) or bottleneck (1 x 1, 3 x 3, 1 x 1).

    Source: He et al. 2015, arXiv:1512.03385.
    """

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        if bottleneck:
            layers = [conv(inputs, width, 1), nn.ReLU(), conv(width, width, 3, stride), nn.ReLU()]
            layers.append(conv(width, outputs, 1))
        else:
            layers = [conv(inputs, width, 3, stride), nn.ReLU(), conv(width, width, 3)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = conv(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return torch.relu(self.layers(x) + self.shortcut(x))


def mean() -> nn.Module:
    """Compute the mean over height and width, (n, c, h, w) to (n, c)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Pad(nn.Module):
    """Zero padding of an image: left, right, top, bottom."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h + top + bottom, w + left + right)."""
        return pad(x, self.sizes)


def mobilenet_v2() -> nn.Module:
    """Make MobileNetV2 1.0, 1000 classes."""
    layers: list[nn.Module] = [conv(3, 32, 3, 2), nn.ReLU6()]
    channels = 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, outputs, repetitions, stride in stages:
        for i in range(repetitions):
            layers.append(InvertedResidual(channels, outputs, stride if i == 0 else 1, expansion))
            channels = outputs
    return nn.Sequential(*layers, conv(channels, 1280, 1), nn.ReLU6(), mean(), nn.Linear(1280, 1000))


def resnet(blocks: tuple[int, ...], *, bottleneck: bool) -> nn.Module:
    """Make a ResNet for 224 x 224; the stride is in the 3 x 3 convolution."""
    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, count in enumerate(blocks):
        for i in range(count):
            width = 64 << stage
            layers.append(Residual(channels, width, 2 if stage and i == 0 else 1, bottleneck))
            channels = width * 4 if bottleneck else width
    return nn.Sequential(*layers, mean(), nn.Linear(channels, 1000))


def resnet_8() -> nn.Module:
    """Make MLPerf Tiny's image classification network."""
    blocks = [Residual(16, 16, 1, False), Residual(16, 32, 2, False), Residual(32, 64, 2, False)]
    return nn.Sequential(conv(3, 16, 3), nn.ReLU(), *blocks, mean(), nn.Linear(64, 10))


def mobilenet_v1() -> nn.Module:
    """MobileNetV1 0.25 for 96 x 96, MLPerf Tiny's visual wake words. Source: Howard et al. 2017, arXiv:1704.04861."""
    layers: list[nn.Module] = [conv(3, 8, 3, 2), nn.ReLU()]
    channels = 8
    stages = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
    for outputs, stride in stages:
        layers += [conv(channels, channels, 3, stride, channels), nn.ReLU(), conv(channels, outputs, 1), nn.ReLU()]
        channels = outputs
    return nn.Sequential(*layers, mean(), nn.Linear(channels, 2))


def ds_cnn() -> nn.Module:
    """Make MLPerf Tiny's keyword spotting network on 49 x 10 features. Source: Zhang et al. 2017, arXiv:1711.07128."""
    layers: list[nn.Module] = [Pad(1, 1, 4, 5), nn.Conv2d(1, 64, (10, 4), 2), nn.ReLU()]
    for _ in range(4):
        layers += [conv(64, 64, 3, 1, 64), nn.ReLU(), conv(64, 64, 1), nn.ReLU()]
    return nn.Sequential(*layers, mean(), nn.Linear(64, 12))


def autoencoder() -> nn.Module:
    """Make MLPerf Tiny's anomaly detection network."""
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Network:
    """One row of the model list.

    Args:
        title: display name.
        build: function that makes the module.
        shape: shape of one input, including a batch of 1.
        litert: name of MLPerf Tiny's int8 .tflite of the same architecture; empty if there is none.
    """

    title: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    litert: str = ""


NETWORKS = {
    "mobilenet_v2": Network("MobileNetV2 1.0, 224", mobilenet_v2, (1, 3, 224, 224)),
    "resnet_18": Network("ResNet-18, 224", lambda: resnet((2, 2, 2, 2), bottleneck=False), (1, 3, 224, 224)),
    "resnet_50": Network("ResNet-50, 224", lambda: resnet((3, 4, 6, 3), bottleneck=True), (1, 3, 224, 224)),
    "mobilenet_v1": Network("MobileNetV1 0.25, 96", mobilenet_v1, (1, 3, 96, 96), "vww_96_int8.tflite"),
    "resnet_8": Network("ResNet-8, 32", resnet_8, (1, 3, 32, 32), "pretrainedResnet_quant.tflite"),
    "ds_cnn": Network("DS-CNN, 49 x 10", ds_cnn, (1, 1, 49, 10), "kws_ref_model.tflite"),
    "autoencoder": Network("Autoencoder, 640", autoencoder, (1, 640), "ad01_int8.tflite"),
}


def samples(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """Make random inputs, smooth for images, (count, ...) float32."""
    rng = np.random.default_rng(seed)
    size = network.shape[-1]
    if len(network.shape) == 4 and size % 16 == 0:
        coarse = rng.normal(size=(count, network.shape[1], size // 16, size // 16)).astype(np.float32)
        x = coarse.repeat(16, axis=2).repeat(16, axis=3)
        return (x + 0.3 * rng.normal(size=x.shape)).astype(np.float32)
    return rng.normal(size=(count, *network.shape[1:])).astype(np.float32)


@torch.no_grad()
def build(network: Network, seed: int = 0) -> nn.Module:
    """Make the module with its weights, in evaluation mode."""
    torch.manual_seed(seed)
    module = network.build().eval()

    def normalize(layer: nn.Module, _: object, y: Tensor) -> Tensor:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        axes = [i for i in range(y.ndim) if i != 1]
        gain = torch.empty(y.shape[1]).uniform_(0.8, 1.2) / y.std(axes).clamp_min(1e-3)
        shift = torch.empty(y.shape[1]).uniform_(-0.2, 0.2) - y.mean(axes) * gain
        layer.weight.mul_(gain.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        assert layer.bias is not None
        layer.bias.copy_(layer.bias * gain + shift)
        one = [1, -1, *[1] * (y.ndim - 2)]
        return y * gain.reshape(one) + shift.reshape(one)

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = []
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        hooks.append(layer.register_forward_hook(normalize))
    module(torch.from_numpy(samples(network, 8, seed + 1)))
    for hook in hooks:
        hook.remove()
    return module
