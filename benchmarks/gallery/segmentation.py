"""Segmentation and dense prediction: a class, a mask or a depth for each pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_unpool2d

from gallery.network import Network, Wrapped, image

FIELD = "segmentation"


def _pair(inputs: int, outputs: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [nn.Conv2d(i, outputs, 3, padding=1), norm(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net with transposed convolutions or bilinear up-sampling.

    Args:
        norm: makes the normalization of so many channels.
        bilinear: how to up-sample.
    """

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d, *, bilinear: bool = False) -> None:
        super().__init__()
        self.down = nn.ModuleList(_pair(i, o, norm) for i, o in ((3, 8), (8, 16), (16, 32), (32, 64)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.Conv2d(i, i // 2, 1))
            if bilinear
            else nn.ConvTranspose2d(i, i // 2, 2, 2)
            for i in (64, 32, 16)
        )
        self.merge = nn.ModuleList(_pair(i, i // 2, norm) for i in (64, 32, 16))
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, h, w)."""
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        return self.last(x)


class AttentionUNet(nn.Module):
    """The gate of Attention U-Net at one level."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _pair(3, 16), _pair(16, 32)
        self.gate_x, self.gate_g = nn.Conv2d(16, 8, 1), nn.Conv2d(32, 8, 1)
        self.gate, self.last = nn.Conv2d(8, 1, 1), nn.Conv2d(48, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 2, h, w)."""
        a = self.first(x)
        g = interpolate(self.second(self.pool(a)), scale_factor=2, mode="bilinear", align_corners=False)
        weight = torch.sigmoid(self.gate(torch.relu(self.gate_x(a) + self.gate_g(g))))
        return self.last(torch.cat([a * weight, g], 1))


class SegNet(nn.Module):
    """SegNet: max pooling whose indices the decoder uses."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = _pair(3, 8), _pair(8, 3)
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, h, w)."""
        y, indices = self.pool(self.down(x))
        return self.up(max_unpool2d(y, indices, 2, 2))


class FastScnn(nn.Module):
    """Fast-SCNN's pyramid pooling and fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*self._unit(3, 16, 2), *self._unit(16, 24, 2))
        self.body = nn.Sequential(*self._unit(24, 32, 2), *self._unit(32, 32, 2))
        self.levels = nn.ModuleList(nn.Conv2d(32, 8, 1) for _ in range(3))
        self.last = nn.Conv2d(32 + 24 + 24, 4, 1)

    @staticmethod
    def _unit(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        point = nn.Conv2d(inputs, outputs, 1, bias=False)
        return [depthwise, nn.BatchNorm2d(inputs), nn.ReLU(), point, nn.BatchNorm2d(outputs), nn.ReLU()]

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 4, h, w)."""
        near = self.stem(x)
        far = self.body(near)
        parts = [far]
        for size, level in zip((1, 2, 4), self.levels, strict=True):
            pooled = level(nn.functional.adaptive_avg_pool2d(far, size))
            parts.append(interpolate(pooled, size=far.shape[2:], mode="bilinear", align_corners=False))
        up = interpolate(torch.cat(parts, 1), size=near.shape[2:], mode="bilinear", align_corners=False)
        y = self.last(torch.cat([up, near], 1))
        return interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


class DepthNet(nn.Module):
    """Monocular depth: skip sums, nearest up-sampling, ELU, reflected edges."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 16), (16, 24), (24, 32)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(i, o, 3)) for i, o in ((32, 24), (24, 16))
        )
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to disparity (n, 1, h / 2, w / 2)."""
        skips = []
        for layer in self.down:
            x = nn.functional.elu(layer(x))
            skips.append(x)
        for layer, skip in zip(self.up, (skips[1], skips[0]), strict=True):
            x = nn.functional.elu(layer(interpolate(x, scale_factor=2, mode="nearest"))) + skip
        return torch.sigmoid(self.last(x))


def _torchvision(name: str, **choices: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import segmentation

        made = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=4, **choices)
        return Wrapped(made, lambda module, x: module(x)["out"])

    return build


def _segformer() -> nn.Module:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        hidden_sizes=[16, 32, 32, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=32,
        num_labels=4, sr_ratios=[4, 2, 2, 1],
    )  # fmt: skip
    return Wrapped(SegformerForSemanticSegmentation(config), lambda module, x: module(pixel_values=x).logits)


def _dpt() -> nn.Module:
    from transformers import DPTConfig, DPTForDepthEstimation

    config = DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, image_size=64, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16, head_in_index=-1,
        is_hybrid=False,
    )  # fmt: skip
    return Wrapped(DPTForDepthEstimation(config), lambda module, x: module(pixel_values=x).predicted_depth)


NETWORKS = [
    Network("unet", FIELD, UNet, [image()]),
    Network("unet_bilinear", FIELD, lambda: UNet(bilinear=True), [image()]),
    Network("unet_group_norm", FIELD, lambda: UNet(lambda channels: nn.GroupNorm(4, channels)), [image()]),
    Network("attention_unet", FIELD, AttentionUNet, [image()]),
    Network("segnet", FIELD, SegNet, [image()]),
    Network("fast_scnn", FIELD, FastScnn, [image()]),
    Network("depth_net", FIELD, DepthNet, [image()]),
    Network("lraspp_mobilenet_v3", FIELD, _torchvision("lraspp_mobilenet_v3_large"), [image()], "torchvision"),
    Network("deeplabv3_mobilenet_v3", FIELD, _torchvision("deeplabv3_mobilenet_v3_large"), [image()], "torchvision"),
    Network("segformer", FIELD, _segformer, [image()], "transformers"),
    Network("dpt_depth", FIELD, _dpt, [image()], "transformers"),
]
