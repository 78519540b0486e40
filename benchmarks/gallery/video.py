"""Video and pairs of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, normalize

from gallery.network import Network, Wrapped, clip, image

FIELD = "video, pairs of images"


class C3d(nn.Sequential):
    """3-D convolutions and pools."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool3d((1, 2, 2)),
            nn.Conv3d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(16, 5),
        )


class R2Plus1d(nn.Module):
    """A convolution over space, then one over time."""

    def __init__(self) -> None:
        super().__init__()
        self.space = nn.Sequential(
            nn.Conv3d(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.BatchNorm3d(8), nn.ReLU()
        )
        self.time = nn.Sequential(
            nn.Conv3d(8, 16, (3, 1, 1), (2, 1, 1), (1, 0, 0), bias=False), nn.BatchNorm3d(16), nn.ReLU()
        )
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, t, h, w) to (n, 5)."""
        return self.last(self.time(self.space(x)).mean((2, 3, 4)))


class ShiftModule(nn.Module):
    """TSM: a part of the channels comes from the neighbouring frames."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.last = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, t, h, w) to (n, 5)."""
        n, _, t, height, width = x.shape
        y = torch.relu(self.first(x.transpose(1, 2).reshape(n * t, 3, height, width)))
        y = y.view(n, t, *y.shape[1:])
        past = torch.cat([torch.zeros_like(y[:, :1, :4]), y[:, :-1, :4]], 1)
        future = torch.cat([y[:, 1:, 4:8], torch.zeros_like(y[:, :1, 4:8])], 1)
        y = torch.cat([past, future, y[:, :, 8:]], 2)
        y = torch.relu(self.second(y.flatten(0, 1))).mean((2, 3))
        return self.last(y.view(n, t, -1).mean(1))


class Siamese(nn.Module):
    """Two images through one network, the cosine of their vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 16),
        )  # fmt: skip

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two images (n, 3, h, w) to (n, 1)."""
        return (normalize(self.body(a)) * normalize(self.body(b))).sum(1, keepdim=True)


class Matching(nn.Module):
    """A cost volume from shifts of one feature map against the other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two images (n, 3, h, w) to disparity (n, 1, h / 2, w / 2)."""
        a, b = self.body(left), self.body(right)
        width = a.shape[3]
        costs = [(a * nn.functional.pad(b, (d, 0))[..., :width]).mean(1, keepdim=True) for d in range(4)]
        return self.last(torch.cat(costs, 1))


class SpatialTransformer(nn.Module):
    """A spatial transformer: the network turns its own input by `grid_sample`."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Sequential(
            nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6)
        )
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, h, w) to (n, 4)."""
        turn = 0.1 * self.place(x).view(-1, 2, 3) + torch.eye(2, 3)
        return self.body(
            grid_sample(x, nn.functional.affine_grid(turn, x.shape, align_corners=False), align_corners=False)
        )


class ConvLstm(nn.Module):
    """A convolutional LSTM cell over four frames, unrolled."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.channels, self.gates = channels, nn.Conv2d(3 + channels, 4 * channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, t, h, w) to (n, 1, h, w)."""
        n, _, t, height, width = x.shape
        hidden = cell = torch.zeros(n, self.channels, height, width)
        for frame in range(t):
            i, f, o, g = self.gates(torch.cat([x[:, :, frame], hidden], 1)).chunk(4, 1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
        return self.last(hidden)


def _torchvision_r3d() -> nn.Module:
    from torchvision.models.video.resnet import BasicBlock, BasicStem, Conv3DSimple, VideoResNet

    made = VideoResNet(BasicBlock, [Conv3DSimple] * 4, [1, 1, 1, 1], BasicStem, num_classes=5)
    return Wrapped(
        nn.Sequential(made.stem, made.layer1, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 5)), _plain
    )


def _plain(module: nn.Module, x: Tensor) -> Tensor:
    return module(x)


def _videomae() -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, tubelet_size=2, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, num_labels=4,
    )  # fmt: skip
    call: Callable[[nn.Module, Tensor], Tensor] = lambda module, x: module(x.transpose(1, 2)).logits  # noqa: E731
    return Wrapped(VideoMAEForVideoClassification(config), call)


NETWORKS = [
    Network("c3d", FIELD, C3d, [clip(8, 16)]),
    Network("r2plus1d", FIELD, R2Plus1d, [clip(8, 16)]),
    Network("r3d_stem", FIELD, _torchvision_r3d, [clip(4, 16)], "torchvision"),
    Network("temporal_shift", FIELD, ShiftModule, [clip(4, 32)]),
    Network("siamese_cosine", FIELD, Siamese, [image(32), image(32)]),
    Network("stereo_matching", FIELD, Matching, [image(32), image(32)]),
    Network("spatial_transformer", FIELD, SpatialTransformer, [image(28, 1)]),
    Network("conv_lstm", FIELD, ConvLstm, [clip(4, 16)]),
    Network("videomae", FIELD, _videomae, [clip(4, 32)], "transformers"),
]
