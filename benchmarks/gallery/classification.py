"""Image classification: architectures of torchvision and timm at small sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from gallery.network import MakeInput, Network, Wrapped, image

FIELD = "image classification"


def torchvision(name: str, **choices: Any) -> Callable[[], nn.Module]:
    """Return a function that makes a torchvision network; what it returns in eval mode is a tensor."""

    def build() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, **choices)

    return build


def timm(name: str, **choices: Any) -> Callable[[], nn.Module]:
    """Return a function that makes a timm network."""

    def build() -> nn.Module:
        from timm import create_model

        return create_model(name, pretrained=False, num_classes=choices.pop("num_classes", 10), **choices)

    return build


def first_output(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a function that makes a network of the first of several outputs."""

    def call(module: nn.Module, x: Tensor) -> Tensor:
        return module(x)[0]

    return lambda: Wrapped(build(), call)


def _torchvision(name: str, size: int = 64, inputs: Sequence[MakeInput] = (), **choices: Any) -> Network:
    build = torchvision(name, num_classes=10, **choices)
    return Network(name, FIELD, build, inputs or [image(size)], "torchvision")


def _timm(name: str, size: int = 64, **choices: Any) -> Network:
    return Network(name, FIELD, timm(name, **choices), [image(size)], "timm")


def model(module: str, name: str, **choices: Any) -> Callable[[], nn.Module]:
    """Return a function that makes a network from the class of this name in a module."""
    return lambda: getattr(import_module(module), name)(**choices)


def _mlp(block: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from timm.models import mlp_mixer

        choices: dict[str, Any] = {"mlp_ratio": 4} if block == "ResBlock" else {}
        if block == "ResBlock":
            choices["norm_layer"] = mlp_mixer.Affine
        if block == "SpatialGatingBlock":
            choices |= {"mlp_ratio": 4, "mlp_layer": mlp_mixer.GatedMlp}
        kind = getattr(mlp_mixer, block)
        return mlp_mixer.MlpMixer(10, 64, patch_size=16, num_blocks=2, embed_dim=64, block_layer=kind, **choices)

    return build


def _metaformer(mixers: str | Sequence[str]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from timm.models import metaformer

        kinds = [mixers] * 4 if isinstance(mixers, str) else mixers
        choices: dict[str, Any] = {"token_mixers": [getattr(metaformer, kind) for kind in kinds]}
        if mixers == "Pooling":
            choices |= {"norm_layers": metaformer.GroupNorm1, "mlp_act": nn.GELU}
        else:
            choices["norm_layers"] = [metaformer.LayerNorm2dNoBias] * 2 + [metaformer.LayerNormNoBias] * 2
        return metaformer.MetaFormer(depths=(1, 1, 1, 1), dims=(32, 32, 64, 64), num_classes=10, **choices)

    return build


def _volo() -> nn.Module:
    from timm.models.volo import VOLO

    return VOLO(
        (1, 1, 1, 1), img_size=64, num_classes=10, embed_dims=(32, 64, 64, 64), num_heads=(2, 4, 4, 4),
        downsamples=(True, False, False, False), outlook_attention=(True, False, False, False),
    )  # fmt: skip


def _googlenet() -> nn.Module:
    from torchvision.models import googlenet

    return googlenet(weights=None, aux_logits=False, init_weights=False, num_classes=10)


def _densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=12, block_config=(3, 3, 3), num_init_features=24, num_classes=10)


def _vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)


def _swin(version: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2

        sizes: dict[str, Any] = {"patch_size": [4, 4], "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4]}
        if version == 2:
            sizes |= {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
        return SwinTransformer(**sizes, window_size=[4, 4], num_classes=10)

    return build


NETWORKS = [
    _torchvision("resnet18"),
    _torchvision("resnet50", width_per_group=16),
    _torchvision("mobilenet_v2", width_mult=0.5),
    _torchvision("mobilenet_v3_small"),
    _torchvision("shufflenet_v2_x0_5"),
    _torchvision("squeezenet1_1"),
    _torchvision("regnet_y_400mf"),
    Network("googlenet", FIELD, _googlenet, [image()], "torchvision"),
    Network("densenet_small", FIELD, _densenet, [image()], "torchvision"),
    Network("vit_torchvision", FIELD, _vit, [image(32)], "torchvision"),
    Network("swin_small", FIELD, _swin(1), [image(32)], "torchvision"),
    Network("swin_v2_small", FIELD, _swin(2), [image(32)], "torchvision"),
    _timm("res2net50_14w_8s", layers=[1, 1, 1, 1]),
    _timm("dla46_c"),
    _timm("ese_vovnet19b_slim_dw"),
    _timm("repvgg_a0"),
    _timm("ghostnet_050"),
    _timm("lcnet_050"),
    _timm("mobilenetv4_conv_small_050"),
    _timm("mixnet_s"),
    _timm("convnext_atto"),
    _timm("vit_tiny_patch16_224", img_size=64, embed_dim=64, depth=3, num_heads=4),
    _timm("deit_tiny_distilled_patch16_224", img_size=64, embed_dim=64, depth=2, num_heads=4),
    _timm("beit_base_patch16_224", img_size=64, embed_dim=64, depth=2, num_heads=4),
    _timm("eva02_tiny_patch14_224", 56, img_size=56, embed_dim=64, depth=2, num_heads=4),
    _timm("xcit_nano_12_p16_224", img_size=64, depth=2),
    _timm("pit_ti_224", 64, img_size=64, base_dims=(16, 16, 16), depth=(1, 1, 1)),
    _timm("efficientvit_b0"),
    _timm("efficientvit_m0", img_size=64),
    _timm("mobilevit_xxs"),
    _timm("mobilevitv2_050"),
    _timm("maxvit_pico_rw_256", img_size=64, depths=(1, 1), embed_dim=(32, 64), stem_width=16),
    _timm("starnet_s1"),
    _timm("swiftformer_xs"),
    _timm("inception_next_atto"),
    _timm("test_efficientnet", 96),
    _timm("test_vit", 160, img_size=160),
    _timm("test_convnext2", 64),
    _timm("test_nfnet", 96),
    _timm("resnet26d", layers=[1, 1, 1, 1], channels=(16, 32, 64, 128)),
    _timm("seresnet18", channels=(16, 32, 64, 128)),
    _timm("skresnet18", channels=(32, 32, 64, 128)),
    _timm("resnest14d", channels=(16, 32, 64, 128)),
    _timm("levit_128s", img_size=64, embed_dim=(32, 48, 64), depth=(1, 1, 1), num_heads=(2, 3, 4), key_dim=16),
    Network(
        "convmixer",
        FIELD,
        model("timm.models.convmixer", "ConvMixer", dim=64, depth=3, num_classes=10),
        [image(56)],
        "timm",
    ),
    Network("mixer", FIELD, _mlp("MixerBlock"), [image()], "timm"),
    Network("resmlp", FIELD, _mlp("ResBlock"), [image()], "timm"),
    Network("gmlp", FIELD, _mlp("SpatialGatingBlock"), [image()], "timm"),
    Network("poolformer", FIELD, _metaformer("Pooling"), [image()], "timm"),
    Network("caformer", FIELD, _metaformer(["SepConv", "SepConv", "Attention", "Attention"]), [image()], "timm"),
    Network(
        "focalnet",
        FIELD,
        model("timm.models.focalnet", "FocalNet", embed_dim=32, depths=(1, 1, 1, 1), num_classes=10),
        [image()],
        "timm",
    ),
    Network("volo", FIELD, _volo, [image()], "timm"),
]
