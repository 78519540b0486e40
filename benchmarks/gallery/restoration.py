"""Super-resolution, denoising, style transfer: image to image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from gallery.network import Network, Wrapped, image

FIELD = "image restoration, style"


class Edsr(nn.Module):
    """EDSR: residual blocks without norm, pixel shuffle."""

    def __init__(self, channels: int = 16, blocks: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
            )
            for _ in range(blocks)
        )
        self.tail = nn.Sequential(
            nn.Conv2d(channels, channels * 4, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(channels, 3, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, 2 h, 2 w)."""
        y = first = self.head(x)
        for block in self.blocks:
            y = y + 0.1 * block(y)
        return self.tail(y + first)


class Espcn(nn.Sequential):
    """ESPCN: tanh and a pixel shuffle by 3."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 32, 5, padding=2), nn.Tanh(), nn.Conv2d(32, 16, 3, padding=1), nn.Tanh(),
            nn.Conv2d(16, 9, 3, padding=1), nn.PixelShuffle(3),
        )  # fmt: skip


class Srcnn(nn.Module):
    """SRCNN after bicubic up-sampling in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 9, padding=4), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) to (n, 1, 2 h, 2 w)."""
        return self.layers(interpolate(x, scale_factor=2, mode="bicubic", align_corners=False))


class RealEsrgan(nn.Module):
    """A dense block and nearest up-sampling, as in RRDBNet."""

    def __init__(self, channels: int = 16, growth: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.dense = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth if i < 3 else channels, 3, padding=1) for i in range(4)
        )
        self.up, self.last = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, 2 h, 2 w)."""
        y = self.first(x)
        parts = [y]
        for layer in self.dense[:-1]:
            parts.append(leaky_relu(layer(torch.cat(parts, 1)), 0.2))
        y = y + 0.2 * self.dense[-1](torch.cat(parts, 1))
        return self.last(leaky_relu(self.up(interpolate(y, scale_factor=2, mode="nearest")), 0.2))


class DnCnn(nn.Module):
    """DnCNN: predicts the noise and subtracts it."""

    def __init__(self) -> None:
        super().__init__()
        middle = [
            m for _ in range(3) for m in (nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        ]
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), *middle, nn.Conv2d(16, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) to the same shape."""
        return x - self.layers(x)


class StyleTransfer(nn.Module):
    """Fast neural style: reflected edges, instance norm, up-sampling convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(self._unit(3, 8, 9, 1), self._unit(8, 16, 3, 2), self._unit(16, 32, 3, 2))
        self.body = nn.ModuleList(
            nn.Sequential(self._unit(32, 32, 3, 1), self._unit(32, 32, 3, 1, act=False)) for _ in range(2)
        )
        self.up = nn.Sequential(
            nn.Upsample(scale_factor=2), self._unit(32, 16, 3, 1), nn.Upsample(scale_factor=2), self._unit(16, 8, 3, 1)
        )
        self.last = nn.Sequential(nn.ReflectionPad2d(4), nn.Conv2d(8, 3, 9))

    @staticmethod
    def _unit(inputs: int, outputs: int, kernel: int, stride: int, *, act: bool = True) -> nn.Module:
        layers = [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inputs, outputs, kernel, stride)]
        return nn.Sequential(*layers, nn.InstanceNorm2d(outputs, affine=True), *([nn.ReLU()] if act else []))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, h, w)."""
        y = self.down(x)
        for block in self.body:
            y = y + block(y)
        return self.last(self.up(y))


class CycleGan(nn.Module):
    """CycleGAN's generator: instance norm without parameters, transposed convolutions, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7), nn.InstanceNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1), nn.InstanceNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.InstanceNorm2d(8), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(8, 3, 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, h, w)."""
        return self.layers(x)


class LayerNorm2d(nn.Module):
    """Normalize over the channels of each pixel, as NAFNet does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        return (x - mean) / (variance + 1e-6).sqrt() * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class NafNet(nn.Module):
    """NAFNet's block: simple gate and simplified channel attention."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 3, 3, padding=1)
        self.norm, self.expand = LayerNorm2d(channels), nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.project = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to the same shape."""
        y = self.first(x)
        a, b = self.depthwise(self.expand(self.norm(y))).chunk(2, 1)
        z = a * b
        return x + self.last(y + self.beta * self.project(z * self.attention(z)))


class ZeroDce(nn.Module):
    """Zero-DCE: curves applied several times."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.c = nn.Conv2d(32, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to the same shape."""
        a = torch.relu(self.a(x))
        curves = torch.tanh(self.c(torch.cat([a, torch.relu(self.b(a))], 1)))
        for curve in curves.split(3, 1):
            x = x + curve * (x.square() - x)
        return x


def _swin2sr() -> nn.Module:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    config = Swin2SRConfig(
        image_size=16, patch_size=1, embed_dim=16, depths=[2], num_heads=[2], window_size=8, upscale=2, mlp_ratio=2.0
    )
    return Wrapped(Swin2SRForImageSuperResolution(config), lambda module, x: module(pixel_values=x).reconstruction)


NETWORKS = [
    Network("edsr", FIELD, Edsr, [image(32)]),
    Network("espcn", FIELD, Espcn, [image(32, 1)]),
    Network("srcnn_bicubic", FIELD, Srcnn, [image(32, 1)]),
    Network("real_esrgan", FIELD, RealEsrgan, [image(32)]),
    Network("dncnn", FIELD, DnCnn, [image(32, 1)]),
    Network("style_transfer", FIELD, StyleTransfer, [image()]),
    Network("cyclegan", FIELD, CycleGan, [image()]),
    Network("nafnet", FIELD, NafNet, [image(32)]),
    Network("zero_dce", FIELD, ZeroDce, [image(32)]),
    Network("swin2sr", FIELD, _swin2sr, [image(16)], "transformers"),
]
