"""Generators: images from noise, auto-encoders, a step of a diffusion model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gallery.network import Network, image, numbers

FIELD = "generators"


class Dcgan(nn.Sequential):
    """DCGAN's generator."""

    def __init__(self) -> None:
        super().__init__(
            nn.ConvTranspose2d(16, 32, 4, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip


class Autoencoder(nn.Module):
    """A convolutional auto-encoder; the mean of a variational one."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ELU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ELU(), nn.Flatten()
        )
        self.mean, self.grow = nn.Linear(16 * 8 * 8, 12), nn.Linear(12, 16 * 8 * 8)
        self.decode = nn.Sequential(
            nn.Unflatten(1, (16, 8, 8)),
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.ELU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, 32, 32) to the same shape."""
        return self.decode(self.grow(self.mean(self.encode(x))))


class PatchGan(nn.Sequential):
    """Pix2pix's discriminator."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16),
            nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 4, 1, 1),
        )  # fmt: skip


class Pix2Pix(nn.Module):
    """Two levels of pix2pix's U-Net with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 4, 2, 1), nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1))
        self.c = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.Dropout(0.5))
        self.d = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to the same shape."""
        a = self.a(x)
        return self.d(torch.cat([a, self.c(self.b(a))], 1))


class StyleBlock(nn.Module):
    """Modulated convolution as in StyleGAN2, by scaling of inputs and outputs."""

    def __init__(self, channels: int = 16, style: int = 16) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Linear(style, 32), nn.LeakyReLU(0.2), nn.Linear(32, channels))
        self.constant = nn.Parameter(torch.randn(1, channels, 8, 8))
        self.conv, self.rgb = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.Conv2d(channels, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        """(n, style) to (n, 3, 8, 8)."""
        z = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        s = 1 + self.map(z)
        y = self.conv(self.constant * s[:, :, None, None])
        scale = torch.rsqrt((self.conv.weight.square().sum((2, 3)) * s.square()[:, None]).sum(2) + 1e-8)
        return self.rgb(nn.functional.leaky_relu(y * scale[:, :, None, None], 0.2))


class Diffusion(nn.Module):
    """A step of a diffusion U-Net: sinusoidal time, group norm, SiLU, self-attention over pixels."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 3, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.norm, self.conv = nn.GroupNorm(4, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.attention_norm, self.qkv = nn.GroupNorm(4, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.register_buffer("frequency", 10000 ** -torch.linspace(0, 1, channels // 2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(n, 3, h, w) and times (n, 1) to (n, 3, h, w)."""
        y = self.first(x)
        n, c, height, width = y.shape
        angle = t * self.frequency
        time = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        y = y + self.conv(nn.functional.silu(self.norm(y + time[:, :, None, None])))
        q, k, v = self.qkv(self.attention_norm(y)).reshape(n, 3, c, height * width).unbind(1)
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(c), -1)
        return self.last(y + self.project((v @ weights.transpose(1, 2)).reshape(n, c, height, width)))


class Siren(nn.Module):
    """An implicit image: sines of coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in ((2, 32), (32, 32), (32, 3)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 64, 2) to colours (n, 64, 3)."""
        for layer in self.layers[:-1]:
            x = torch.sin(2 * layer(x))
        return self.layers[-1](x)


NETWORKS = [
    Network("dcgan", FIELD, Dcgan, [numbers(16, 1, 1)]),
    Network("autoencoder", FIELD, Autoencoder, [image(32)]),
    Network("patch_gan", FIELD, PatchGan, [image(32)]),
    Network("pix2pix", FIELD, Pix2Pix, [image(32)]),
    Network("style_block", FIELD, StyleBlock, [numbers(16)]),
    Network("diffusion_step", FIELD, Diffusion, [image(16), numbers(1)]),
    Network("siren", FIELD, Siren, [numbers(64, 2)]),
]
