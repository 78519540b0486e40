"""Data descriptors: TOML files with the path of data, their preprocessing, and what a model's outputs mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from intaglio.data.cepstrum import Cepstrum
from intaglio.data.descriptor_schema import DescriptorFile, ImageSection, error_sentence
from intaglio.data.pictures import Descriptor, check_classes, read_classes
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, read_toml


def read_descriptor(path: Path) -> Descriptor:
    """Read and check a descriptor; its `path` is relative to the descriptor's folder.

        path = "cifar10-test.parquet"
        classes = "labels.txt"            # names of the classes, one a line
        label = "masks"    # in place of class labels: a folder of masks, a .npy, .txt or .json, a column of a .parquet
        [image]            # absent for plain arrays
        preset = "cifar10" # imagenet, cifar10, raw or caffe; the following keys replace its values
        size = 32          # resize the short side (or [height, width]), then
        crop = 32          # centre crop to
        mean = [0.4914, 0.4822, 0.4465]   # after scaling to 0..1; one number: grey images
        std = [0.2470, 0.2435, 0.2616]
        layout = "NCHW"
        channels = "RGB"   # or "BGR"; mean and std are in this order
        [sound]            # for folders of .wav files, instead of [image]; see `cepstrum.Cepstrum`
        [postprocess]      # of C applications
        kind = "classes"   # or "boxes" (see `postprocess.BoxOutput`) or "numbers"
        top = 3
        softmax = true     # whether to show the softmax of the output; default: unless the model ends with one
        output = "logits"  # default: the only output

    Raises:
        DataError: not TOML, or a key is missing, unknown or of the wrong kind; the text names file and key.
    """
    try:
        content = read_toml(path)
    except UnreadableError as error:
        raise DataError(f"{path}: expected a TOML data descriptor, got one that cannot be read ({error})") from error
    try:
        data = DescriptorFile.model_validate(content)
    except ValidationError as error:
        raise DataError("\n".join(error_sentence(path, e) for e in error.errors())) from error
    classes = None if data.classes is None else read_classes(path.parent / data.classes)
    image = None if data.image is None else data.image.preprocess()
    postprocess = None if data.postprocess is None else data.postprocess.made(path.parent)
    try:
        sound = None if data.sound is None else Cepstrum(**data.sound.model_dump())
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    label = None if data.label is None else path.parent / data.label
    return Descriptor(path.parent / data.path, image, classes, path, postprocess, sound, label)


def pictures(
    folder: str | os.PathLike[str],
    preset: str | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: str | None = None,
    channels: str | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
) -> Descriptor:
    """Describe a folder of pictures and their preprocessing, as a data descriptor does.

        y = (pixel / 255 - mean) / std

    Args:
        folder: class folders with images, images without labels, or a .parquet file.
        preset: imagenet (short side to 256, centre crop to 224, its mean and std), cifar10 (32 x 32), raw (pixels
            0 to 255, not resized) or caffe (sizes of imagenet, BGR, pixels 0 to 255 minus their mean); the other
            arguments replace its values.
        size: resize the short side to this and crop the centre to a square of it, or resize to (height, width).
        crop: crop the centre to another size than `size`.
        mean, std: of each channel, after scaling to 0..1, in the order of `channels`; a single number for grey images
            or for all channels.
        layout: NCHW or NHWC; None: that of the model's input.
        channels: order of the color channels that the model takes, RGB or BGR; None: that of the preset, else RGB.
        classes: names of the classes in the order of the network's scores, or a text file with one a line; None: the
            sorted names of the class folders.
    Returns:
        Data that `intaglio.quantize`, `intaglio.evaluate` and other calls take.
    Raises:
        DataError: a value is not valid; the text names it.
    """
    if crop is None and isinstance(size, int):
        crop = size
    given = {
        "preset": preset, "size": size, "crop": crop, "mean": mean, "std": std, "layout": layout, "channels": channels,
    }  # fmt: skip
    try:
        image = ImageSection.model_validate(
            {key: _plain(key, value) for key, value in given.items() if value is not None}
        )
    except ValidationError as error:
        raise DataError("; ".join(error_sentence(Path(folder), e) for e in error.errors())) from error
    if classes is None:
        names = None
    elif isinstance(classes, str | os.PathLike):
        names = read_classes(Path(classes))
    else:
        names = tuple(map(str, classes))
        check_classes(names, "classes")
    return Descriptor(Path(folder), image.preprocess(), names)


def _plain(key: str, value: Any) -> Any:
    """Convert to what TOML could hold: lists instead of tuples and arrays, a list of one mean."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if key in ("mean", "std") and isinstance(value, int | float):
        return [float(value)]
    return list(value) if isinstance(value, tuple) else value
