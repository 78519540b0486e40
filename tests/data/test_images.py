"""Images: decoding, preprocessing, laziness."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intaglio.data import Preprocess, open_data
from intaglio.errors import DataError

Png = Callable[[np.ndarray], bytes]


def test_default_is_rgb_channels_first_scaled_to_one(pixels: np.ndarray, png: Png) -> None:
    x = Preprocess()(png(pixels[0]), "image")
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, pixels[0].transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_mean_and_std_per_channel_and_layout(pixels: np.ndarray, png: Png) -> None:
    mean, std = np.float32([0.1, 0.2, 0.3]), np.float32([0.5, 0.6, 0.7])
    x = Preprocess(mean=tuple(map(float, mean)), std=tuple(map(float, std)), layout="NHWC")(png(pixels[0]), "image")
    np.testing.assert_array_equal(x, (pixels[0].astype(np.float32) / np.float32(255) - mean) / std)


def test_one_mean_makes_grey_images(pixels: np.ndarray, png: Png) -> None:
    x = Preprocess(mean=(0.0,), std=(1.0,))(png(pixels[0]), "image")
    want = np.asarray(Image.fromarray(pixels[0]).convert("L"), np.float32)[None] / np.float32(255)
    np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (40, 40)])
def test_short_side_is_resized_then_the_centre_cropped(
    shape: tuple[int, int], rng: np.random.Generator, png: Png
) -> None:
    image = Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
    x = Preprocess(size=20, crop=16, layout="NHWC")(png(np.asarray(image)), "image")
    height, width = (20 * s // min(shape) for s in shape)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_array_equal(x, resized[top : top + 16, left : left + 16] / np.float32(255))


def test_size_and_crop_as_height_and_width(pixels: np.ndarray, png: Png) -> None:
    assert Preprocess(size=(10, 20), crop=(9, 7))(png(pixels[0]), "image").shape == (3, 9, 7)


def test_exif_orientation_is_applied(rng: np.random.Generator) -> None:
    image = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    x = Preprocess(layout="NHWC")(buffer.getvalue(), "image")
    np.testing.assert_array_equal(x, np.rot90(np.asarray(image), -1).astype(np.float32) / np.float32(255))


def test_parquet_gives_images_and_labels(parquet: Callable[..., Path], pixels: np.ndarray, png: Png) -> None:
    labels = [i % 4 for i in range(10)]
    data = open_data(parquet([png(p) for p in pixels], labels))
    assert len(data) == 10
    np.testing.assert_array_equal(data.labels, labels)
    ((x, y),) = data.batches(10)
    np.testing.assert_array_equal(x, pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(y, labels)


def test_parquet_without_labels(parquet: Callable[..., Path], pixels: np.ndarray, png: Png) -> None:
    data = open_data(parquet([png(p) for p in pixels], None))
    assert data.labels is None
    assert next(data.batches(2))[1] is None


@pytest.mark.parametrize("rows", [1, 3, 4, 100])
@pytest.mark.parametrize(("start", "stop"), [(0, 4), (3, 6), (4, 5), (7, 10), (0, 10)])
def test_only_the_rows_asked_for_are_decoded(
    start: int, stop: int, rows: int, parquet: Callable[..., Path], pixels: np.ndarray, png: Png
) -> None:
    images = [png(p) if start <= i < stop else b"broken" for i, p in enumerate(pixels)]
    data = open_data(parquet(images, list(range(10)), rows_per_group=rows))
    part = data.part(start, stop)
    ys = [y for _, y in part.batches(2)]
    np.testing.assert_array_equal(np.concatenate(ys), np.arange(start, stop))


def test_class_folders_take_turns(image_folder: Path, pixels: np.ndarray) -> None:
    data = open_data(image_folder)
    assert data.class_names == ("ant", "bee")
    ((x, y),) = data.batches(10)
    np.testing.assert_array_equal(y, [0, 1, 0, 1, 0, 1, 0, 1, 0, 0])
    order = [0, 6, 1, 7, 2, 8, 3, 9, 4, 5]
    np.testing.assert_array_equal(x, pixels[order].transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.labels, y)


def test_a_folder_of_images_alone_has_no_labels(image_folder: Path) -> None:
    data = open_data(image_folder / "ant")
    assert len(data) == 6
    assert next(data.batches(2))[1] is None
    assert data.class_names is None


def test_a_descriptor_applies_its_preprocessing(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "data.toml"
    path.write_text(
        'path = "../insects"\n[image]\nsize = 12\ncrop = [5, 4]\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 1, 2]\n'
        'layout = "NHWC"\n'
    )
    data = open_data(path)
    assert data.input_shape == (5, 4, 3)
    want = Preprocess(12, (5, 4), (0.5, 0.5, 0.5), (0.5, 1.0, 2.0), "NHWC")
    x, _ = next(data.batches(1))
    np.testing.assert_array_equal(x[0], want(image_folder / "ant" / "0.png", "image"))


def bad_image(kind: str, pixels: np.ndarray, png: Png) -> bytes:
    return {"text": b"not an image", "empty": b"", "cut": png(pixels[0])[:-40]}[kind]


@pytest.mark.parametrize("kind", ["text", "empty", "cut"])
def test_an_image_that_cannot_be_decoded_is_named(
    kind: str, parquet: Callable[..., Path], pixels: np.ndarray, image_folder: Path, png: Png
) -> None:
    images = [png(pixels[0])] * 4 + [bad_image(kind, pixels, png)]
    path = parquet(images, [0] * 5)
    with pytest.raises(DataError, match=r"images.parquet row 4: expected an image, got one that cannot be decoded"):
        list(open_data(path).batches(2))
    (image_folder / "bee" / "7.png").write_bytes(bad_image(kind, pixels, png))
    with pytest.raises(DataError, match=r"7.png: expected an image, got one that cannot be decoded"):
        list(open_data(image_folder).batches(2))


def test_an_image_smaller_than_the_crop_says_so(pixels: np.ndarray, png: Png) -> None:
    with pytest.raises(DataError, match=r"image: the image is 8 x 6 .* crop to 7 x 7. Set --size .size under"):
        Preprocess(crop=7)(png(pixels[0]), "image")


def test_images_of_several_sizes_need_a_crop(parquet: Callable[..., Path], pixels: np.ndarray, png: Png) -> None:
    path = parquet([png(pixels[0]), png(pixels[1]), png(pixels[2][:5])], [0, 1, 2])
    with pytest.raises(
        DataError, match=r"sample 2: has shape \(3, 5, 6\), the first .* \(3, 8, 6\).*Set|set size and crop"
    ):
        list(open_data(path).batches(3))


def test_parquet_errors_name_file_and_column(
    parquet: Callable[..., Path], pixels: np.ndarray, tmp_path: Path, png: Png
) -> None:
    images: list[Any] = [png(pixels[0]), None]
    with pytest.raises(DataError, match=r"expected a column 'image' .* got columns \['picture', 'label'\]"):
        open_data(parquet(images, [0, 1], column="picture"))
    with pytest.raises(DataError, match="row 1: expected 'image' to hold the bytes of an image, got a struct"):
        list(open_data(parquet(images, [0, 1])).batches(2))
    with pytest.raises(
        DataError, match="expected 'label' to hold one whole number per row, got a column of type string"
    ):
        list(open_data(parquet(images, ["a", "b"])).batches(2))
    with pytest.raises(DataError, match="expected 'label' to hold one whole number per row, got 1 empty rows"):
        _ = open_data(parquet(images, [0, None])).labels
    whole = parquet(images, [0, 1]).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut.parquet: expected a Parquet file, got one that cannot be read"):
        open_data(tmp_path / "cut.parquet")
    changed = bytearray(whole)
    changed[4:60] = b"\xff" * 56
    (tmp_path / "changed.parquet").write_bytes(changed)
    with pytest.raises(
        DataError, match="changed.parquet: expected a Parquet file, got one that cannot be read after row 0"
    ):
        list(open_data(tmp_path / "changed.parquet").batches(2))
