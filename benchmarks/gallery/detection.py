"""Detection: bodies with heads and boxes, before non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gallery.network import Network, Wrapped, image

FIELD = "detection"


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, act: type[nn.Module] = nn.SiLU) -> nn.Module:
    """Make convolution, batch norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), act()
    )


class C2f(nn.Module):
    """The block of YOLOv8: split channels, a chain of bottlenecks, concatenate all of them."""

    def __init__(self, inputs: int, outputs: int, count: int, *, shortcut: bool = True) -> None:
        super().__init__()
        self.half, self.shortcut = outputs // 2, shortcut
        self.first = conv(inputs, outputs, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(self.half, self.half), conv(self.half, self.half)) for _ in range(count)
        )
        self.last = conv((2 + count) * self.half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h, w)."""
        parts = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            y = block(parts[-1])
            parts.append(parts[-1] + y if self.shortcut else y)
        return self.last(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling by three max pools in a row."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = conv(channels, channels // 2, 1), conv(channels * 2, channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same shape."""
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.last(torch.cat(parts, 1))


class YoloV8(nn.Module):
    """YOLOv8's body, neck and head; boxes from distributions, as its export writes them."""

    def __init__(self, width: int = 8, classes: int = 4, bins: int = 8) -> None:
        super().__init__()
        w = width
        self.classes, self.bins, self.strides = classes, bins, (8, 16, 32)
        self.stem = nn.Sequential(conv(3, w, 3, 2), conv(w, 2 * w, 3, 2), C2f(2 * w, 2 * w, 1))
        self.p3 = nn.Sequential(conv(2 * w, 4 * w, 3, 2), C2f(4 * w, 4 * w, 2))
        self.p4 = nn.Sequential(conv(4 * w, 8 * w, 3, 2), C2f(8 * w, 8 * w, 2))
        self.p5 = nn.Sequential(conv(8 * w, 16 * w, 3, 2), C2f(16 * w, 16 * w, 1), SPPF(16 * w))
        self.up4 = C2f(24 * w, 8 * w, 1, shortcut=False)
        self.up3 = C2f(12 * w, 4 * w, 1, shortcut=False)
        self.heads = nn.ModuleList(self._head(c) for c in (4 * w, 8 * w, 16 * w))

    def _head(self, channels: int) -> nn.ModuleList:
        box = nn.Sequential(conv(channels, 16), nn.Conv2d(16, 4 * self.bins, 1))
        score = nn.Sequential(conv(channels, 16), nn.Conv2d(16, self.classes, 1))
        return nn.ModuleList([box, score])

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 4 + classes, places)."""
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        p4 = self.up4(torch.cat([interpolate(p5, scale_factor=2.0), p4], 1))
        p3 = self.up3(torch.cat([interpolate(p4, scale_factor=2.0), p3], 1))
        maps = [torch.cat([box(p), score(p)], 1) for (box, score), p in zip(self.heads, (p3, p4, p5), strict=True)]
        joined = torch.cat([m.flatten(2) for m in maps], 2)
        box, score = joined.split((4 * self.bins, self.classes), 1)
        shares = box.view(box.shape[0], 4, self.bins, -1).softmax(2)
        steps = torch.arange(self.bins, dtype=torch.float32).view(1, 1, -1, 1)
        corner, size = (shares * steps).sum(2).chunk(2, 1)
        anchors, strides = self._anchors(maps)
        low, high = anchors - corner, anchors + size
        return torch.cat([(low + high) / 2 * strides, (high - low) * strides, score.sigmoid()], 1)

    def _anchors(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        anchors, strides = [], []
        for m, stride in zip(maps, self.strides, strict=True):
            height, width = m.shape[2:]
            y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
            anchors.append(torch.stack([x, y]).reshape(2, -1))
            strides.append(torch.full((1, height * width), float(stride)))
        return torch.cat(anchors, 1), torch.cat(strides, 1)


class YoloV5Head(nn.Module):
    """YOLOv5's decoding of boxes: sigmoid, anchors and a grid, five axes."""

    def __init__(self, channels: int, classes: int = 3) -> None:
        super().__init__()
        self.outputs = 5 + classes
        self.body = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), conv(32, channels, 3, 2))
        self.last = nn.Conv2d(channels, 3 * self.outputs, 1)
        self.register_buffer("anchors", torch.tensor([[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]]).view(1, 3, 1, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, places, 5 + classes)."""
        y = self.last(self.body(x))
        n, _, height, width = y.shape
        y = y.view(n, 3, self.outputs, height, width).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], -1).float() - 0.5
        xy = (y[..., 0:2] * 2 + grid) * 8
        wh = (y[..., 2:4] * 2) ** 2 * self.anchors
        return torch.cat([xy, wh, y[..., 4:]], -1).view(n, -1, self.outputs)


class YoloX(nn.Module):
    """YOLOX: the Focus stem of slices, a decoupled head, boxes by exp."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(12, 16), conv(16, 32, 3, 2), C2f(32, 32, 1), conv(32, 64, 3, 2))
        self.scores = nn.Sequential(conv(64, 32), nn.Conv2d(32, 5, 1))
        self.boxes = nn.Sequential(conv(64, 32), nn.Conv2d(32, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, places, 9)."""
        corners = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        y = self.body(torch.cat(corners, 1))
        joined = torch.cat([self.boxes(y), self.scores(y).sigmoid()], 1).flatten(2).transpose(1, 2)
        height, width = y.shape[2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], -1).view(1, -1, 2).float()
        return torch.cat([(joined[..., :2] + grid) * 8, joined[..., 2:4].exp() * 8, joined[..., 4:]], -1)


class CenterNet(nn.Module):
    """Heat map with the peaks kept by a max pool, as CenterNet does in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2, nn.ReLU), conv(16, 32, 3, 2, nn.ReLU))
        self.up = nn.Sequential(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.heat, self.size = nn.Conv2d(16, 3, 1), nn.Conv2d(16, 2, 1)
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) to peaks and sizes."""
        y = self.up(self.body(x))
        heat = self.heat(y).sigmoid()
        return heat * (self.pool(heat) == heat).float(), self.size(y)


class BlazeFace(nn.Module):
    """BlazeFace: residual blocks with padded channels, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 16, 5, 2, nn.ReLU)
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, i, 5, s, 2, groups=i), nn.Conv2d(i, o, 1))
            for i, o, s in ((16, 24, 1), (24, 32, 2), (32, 48, 2))
        )
        self.pool = nn.MaxPool2d(2)
        self.score, self.box = nn.Conv2d(48, 2, 1), nn.Conv2d(48, 2 * 16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, h, w) to boxes and scores."""
        y = self.stem(x)
        for block in self.mix:
            z = block(y)
            skip = self.pool(y) if z.shape[2] < y.shape[2] else y
            skip = nn.functional.pad(skip, (0, 0, 0, 0, 0, z.shape[1] - y.shape[1]))
            y = torch.relu(z + skip)
        n = y.shape[0]
        return self.box(y).permute(0, 2, 3, 1).reshape(n, -1, 16), self.score(y).permute(0, 2, 3, 1).reshape(n, -1, 1)


def _heads(module: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Backbone and head of a torchvision detector."""
    features = module.backbone(x)
    return tuple(module.head(list(features.values()) if isinstance(features, dict) else [features]).values())


def _torchvision(name: str, **choices: Any) -> Callable[[], nn.Module]:
    """Return a function that makes backbone and head of a torchvision detector."""

    def build() -> nn.Module:
        from torchvision.models import detection

        return Wrapped(getattr(detection, name)(weights=None, weights_backbone=None, **choices), _heads)

    return build


def _retinanet() -> nn.Module:
    from torchvision.models import mobilenet_v2
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.backbone_utils import _mobilenet_extractor

    body = _mobilenet_extractor(mobilenet_v2(weights=None, width_mult=0.35), True, 6, returned_layers=[2, 3])
    return Wrapped(RetinaNet(body, num_classes=4), _heads)


def _detr() -> nn.Module:
    from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

    body = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic",
                        out_features=["stage2"])  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, backbone_config=body, use_pretrained_backbone=False, backbone=None, d_model=32,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
        decoder_ffn_dim=64, num_queries=6, num_labels=3,
    )  # fmt: skip

    def call(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = module(pixel_values=x)
        return y.logits, y.pred_boxes

    return Wrapped(DetrForObjectDetection(config), call)


def _yolos() -> nn.Module:
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                         image_size=[64, 64], num_detection_tokens=5, num_labels=3)  # fmt: skip

    def call(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        y = module(pixel_values=x)
        return y.logits, y.pred_boxes

    return Wrapped(YolosForObjectDetection(config), call)


NETWORKS = [
    Network("yolov8", FIELD, YoloV8, [image()]),
    Network("yolov5_head", FIELD, lambda: YoloV5Head(48), [image()]),
    Network("yolox", FIELD, YoloX, [image()]),
    Network("centernet", FIELD, CenterNet, [image()]),
    Network("blazeface", FIELD, BlazeFace, [image()]),
    Network(
        "ssdlite_mobilenet_v3",
        FIELD,
        _torchvision("ssdlite320_mobilenet_v3_large", num_classes=4),
        [image(128)],
        "torchvision",
    ),
    Network("retinanet_mobilenet_fpn", FIELD, _retinanet, [image()], "torchvision"),
    Network("detr", FIELD, _detr, [image()], "transformers"),
    Network("yolos", FIELD, _yolos, [image()], "transformers"),
]
