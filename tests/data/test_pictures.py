"""Folders of pictures without a descriptor file: presets, options, class names, layout from the model."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import intaglio as ig
from intaglio.data import Preprocess, match, open_data
from intaglio.data.descriptor import read_descriptor
from intaglio.data.pictures import PRESETS
from intaglio.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    for name, count in (("b_dog", 3), ("a_cat", 2)):
        (tmp_path / "val" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (40 + i, 50, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "val" / name / f"{i}.png")
    return tmp_path / "val"


def first(data: Any, *shape: int) -> np.ndarray:
    x, _ = match(open_data(data), (1, *shape)).peek()
    assert isinstance(x, np.ndarray)
    return x[0]


def test_arguments_build_what_a_descriptor_file_says(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("z\na_cat\nb_dog\n")
    (tmp_path / "d.toml").write_text(
        'path = "val"\nclasses = "labels.txt"\n[image]\npreset = "imagenet"\nsize = [32, 36]\ncrop = 30\n'
        "mean = [0.5, 0.5, 0.25]\nlayout = 'NHWC'"
    )
    read = read_descriptor(tmp_path / "d.toml")
    mean = np.array([0.5, 0.5, 0.25])
    made = ig.pictures(
        folder, "imagenet", size=(32, 36), crop=30, mean=mean, layout="NHWC", classes=tmp_path / "labels.txt"
    )
    assert (made.path, made.image, made.classes) == (read.path, read.image, read.classes)
    assert made.image == Preprocess((32, 36), 30, (0.5, 0.5, 0.25), PRESETS["imagenet"].std, "NHWC")


def test_imagenet_is_what_torchvision_does(folder: Path) -> None:
    x = first(ig.pictures(folder, "imagenet"), 3, 224, 224)
    picture = Image.open(folder / "a_cat" / "0.png")
    resized = picture.resize((256 * 50 // 40, 256), Image.Resampling.BILINEAR)
    left, top = round((resized.width - 224) / 2), round((resized.height - 224) / 2)
    pixels = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.float32) / np.float32(255)
    want = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    np.testing.assert_array_equal(x, want.transpose(2, 0, 1))


def test_raw_pixels_stay(folder: Path) -> None:
    x = first(ig.pictures(folder, "raw", size=(8, 8)), 3, 8, 8)
    picture = Image.open(folder / "a_cat" / "0.png").resize((8, 8), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(x.transpose(1, 2, 0), np.asarray(picture), atol=1e-4)


@pytest.mark.parametrize("preset", [None, "raw"])
@pytest.mark.parametrize(("shape", "layout"), [((3, 12, 16), "NCHW"), ((12, 16, 3), "NHWC"), ((1, 12, 16), "NCHW")])
def test_layout_and_channels_are_those_of_the_model(
    folder: Path, shape: tuple[int, ...], layout: str, preset: str | None
) -> None:
    data = match(open_data(ig.pictures(folder, preset, size=(12, 16))), (1, *shape))
    x, _ = next(data.batches(4))
    assert isinstance(x, np.ndarray)
    assert x.shape == (4, *shape)
    assert data.source.preprocess.layout == layout  # type: ignore[attr-defined]


def test_a_mean_of_one_number_is_that_of_every_channel(folder: Path) -> None:
    one = first(ig.pictures(folder, size=16, mean=0.5, std=0.25), 3, 16, 16)
    np.testing.assert_array_equal(one, first(ig.pictures(folder, size=16, mean=[0.5] * 3, std=[0.25] * 3), 3, 16, 16))


@pytest.mark.parametrize("shape", [(3, 12, 16), (12, 16, 3)])
def test_channels_are_in_the_order_of_the_network(folder: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "d.toml").write_text(
        'path = "val"\n[image]\nsize = [12, 16]\nchannels = "BGR"\nmean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.6, 0.7]'
    )
    x = first(read_descriptor(tmp_path / "d.toml"), *shape)
    x = x if shape[-1] == 3 else x.transpose(1, 2, 0)
    rgb = ig.pictures(folder, size=(12, 16), mean=[0.3, 0.2, 0.1], std=[0.7, 0.6, 0.5])
    np.testing.assert_array_equal(x[..., ::-1], first(rgb, 3, 12, 16).transpose(1, 2, 0))
    lower = ig.pictures(folder, size=(12, 16), mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7], channels="bgr", layout="nchw")
    np.testing.assert_array_equal(first(lower, 3, 12, 16), x.transpose(2, 0, 1))


def test_the_mean_of_a_preset_follows_the_order_of_channels(folder: Path) -> None:
    rgb, bgr = (first(ig.pictures(folder, "imagenet", channels=order), 3, 224, 224) for order in ("RGB", "BGR"))
    np.testing.assert_array_equal(bgr, rgb[::-1])
    caffe = first(ig.pictures(folder, "caffe"), 3, 224, 224)
    raw = first(ig.pictures(folder, "raw", size=256, crop=224), 3, 224, 224)
    mean = np.float32([103.939, 116.779, 123.68])[:, None, None]
    np.testing.assert_allclose(caffe, raw[::-1] - mean, atol=1e-3)


def test_grey_networks_have_no_order_of_channels(folder: Path) -> None:
    with pytest.raises(DataError, match=r"channels: expected a model with 3 channels beside BGR, got .* leave out"):
        first(ig.pictures(folder, size=16, channels="BGR"), 1, 16, 16)


def test_history_says_how_pictures_are_prepared(folder: Path) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 36, 2)).eval()
    for data, text in (
        (ig.pictures(folder, size=8), "pictures are only scaled to 0..1, as no preset, mean or standard deviation is"),
        (
            ig.pictures(folder, size=8, mean=[0.5] * 3, channels="BGR"),
            "pictures: resized to short side 8, cropped to 8 x 8, scaled to 0..1, mean 0.5, std 1, BGR, NCHW",
        ),
    ):
        history = ig.quantize(net, data, calibrator="max").history
        assert sum(sentence.startswith(text) for sentence in history) == 1, history


def test_a_layout_that_is_given_stays(folder: Path) -> None:
    with pytest.raises(DataError, match=r"channels-last \(NHWC\), the model channels-first .* \(--layout NCHW\)"):
        first(ig.pictures(folder, size=16, layout="NHWC"), 3, 16, 16)


def test_class_names_come_from_folders_or_a_file(folder: Path, tmp_path: Path) -> None:
    plain = open_data(ig.pictures(folder, size=16))
    assert plain.class_names == ("a_cat", "b_dog")
    assert plain.labels is not None
    assert plain.labels.tolist() == [0, 1, 0, 1, 1]
    named = open_data(ig.pictures(folder, size=16, classes=["z", "b_dog", "a_cat"]))
    assert named.class_names == ("z", "b_dog", "a_cat")
    assert named.labels is not None
    assert named.labels.tolist() == [2, 1, 2, 1, 1]
    with pytest.raises(DataError, match="b_dog: expected the name of a class, one of 2 such as 'z', got 'b_dog'"):
        open_data(ig.pictures(folder, size=16, classes=["z", "a_cat"]))
    for text, message in (("a\n\nb", "got an empty line 2"), ("", "empty line 1"), ("a\nb\na", "'a' in lines 1 and 3")):
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(DataError, match=rf"labels\.txt: .*{message}"):
            ig.pictures(folder, classes=tmp_path / "labels.txt")
    with pytest.raises(DataError, match=r"none\.txt: expected a text file .* \(No such file"):
        ig.pictures(folder, classes=tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"preset": "imagnet"}, "val: preset: expected 'imagenet', 'cifar10', 'raw' or 'caffe', got 'imagnet'"),
        ({"size": 0}, "val: size: expected a number above 0, got 0"),
        ({"size": (8, 8, 8)}, "val: size: expected a list of at most 2 entries"),
        (
            {"mean": [0.5, 0.5]},
            "val: .*mean and std must both hold 3 numbers .colors. or both 1 .grey., got 2 and 3",
        ),
        ({"preset": "imagenet", "std": 0.5}, "both hold 3 numbers .colors. or both 1 .grey., got 3 and 1"),
        ({"std": [0.5, 0.0, 0.5]}, "val: std.1: expected a number above 0, got 0.0"),
        ({"channels": "GBR"}, "val: channels: expected 'RGB' or 'BGR', got 'GBR'"),
        ({"layout": "HWC"}, "val: layout: expected 'NCHW' or 'NHWC', got 'HWC'"),
    ],
)
def test_wrong_values_are_named(folder: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        ig.pictures(folder, **arguments)


def test_arrays_and_descriptors_beside_preprocessing(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"prepares image files, but path names the array file .*x\.npz"):
        open_data(ig.pictures(tmp_path / "x.npz", "raw"))


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "first.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    for i in range(3000):
        (tmp_path / f"{i}.png").hardlink_to(picture)
    data = match(open_data(ig.pictures(tmp_path, size=64)), (1, 3, 64, 64))
    tracemalloc.start()
    count = sum(len(x) for x, _ in data.batches(16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3001
    assert peak < 16 << 20  # all of them would be 147 MB
