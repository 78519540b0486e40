"""Preprocess images, and read directories of images."""

from __future__ import annotations

import copy
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from intaglio.data.chunk import Shapes
from intaglio.data.extras import load_extra
from intaglio.data.labelled_files import LabelledFiles
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, readable

if TYPE_CHECKING:
    from typing_extensions import Self

Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR"]
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Preprocess:
    """Image preprocessing: from an image file to a normalized array.

        y = (pixel / 255 - mean) / std

    Attributes:
        size: resize the short side to this, or the image to (height, width); bilinear with antialiasing.
        crop: then crop the central square of this size, or (height, width).
        mean: mean of each channel after scaling to 0..1, in the order of `channels`; one number means grey images.
        std: standard deviation of each channel.
        layout: layout of the result: "NCHW" or "NHWC"; None: that of the model's input, else NCHW.
        channels: order of the color channels that the model takes: "RGB" or "BGR".
        assumed: whether mean and standard deviation are these defaults because nobody named any.
    """

    size: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: Layout | None = None
    channels: Channels = "RGB"
    assumed: bool = field(default=False, compare=False)

    def for_input(self, shape: tuple[int, ...]) -> Preprocess:
        """Take from a model's input what is open: the layout, and the channels of a mean that is the same for all.

        Args:
            shape: of one sample, without batch axis; nothing is taken from one that is no picture in either layout.
        Raises:
            DataError: the model takes grey pictures, which have no order of channels.
        """
        first, last = (len(shape) == 3 and shape[axis] in (1, 3) for axis in (0, -1))
        if first == last:
            return self
        layout: Layout = "NCHW" if first else "NHWC"
        channels = shape[0] if first else shape[-1]
        if channels == 1 and self.channels == "BGR":
            raise DataError(
                f"channels: expected a model with 3 channels beside BGR, got inputs of shape {shape}, which are grey; "
                "leave out --channels (channels under [image])"
            )
        made = self if self.layout is not None else replace(self, layout=layout)
        if self.of_any_channels and made.layout == layout:
            made = replace(made, mean=self.mean[:1] * channels, std=self.std[:1] * channels)
        return made

    @property
    def of_any_channels(self) -> bool:
        """Whether mean and standard deviation are the same for all channels, and so for grey pictures."""
        return len(set(self.mean)) == len(set(self.std)) == 1

    def __call__(self, image: bytes | Path, where: str) -> npt.NDArray[np.float32]:
        """Decode and preprocess one image.

        Returns:
            float32, (C, H, W) or (H, W, C).

        Raises:
            DataError: it is not an image, is damaged, or is smaller than the crop.
        """
        pil = load_extra("PIL.Image", "Pillow", "read images")
        picture = self.decode(image, where)
        pixels = np.asarray(self._cropped(self._resized(picture, pil), where), dtype=np.float32)
        pixels = pixels.reshape(*pixels.shape[:2], len(self.mean))
        y = self.normalize(pixels[..., ::-1] if self.channels == "BGR" else pixels)
        return np.ascontiguousarray(y if self.layout == "NHWC" else y.transpose(2, 0, 1))

    def decode(self, image: bytes | Path, where: str) -> Any:
        """Decode one image, rotated according to its EXIF orientation, to a PIL image in RGB or grey.

        Raises:
            DataError: it is not an image, or is damaged.
        """
        pil = load_extra("PIL.Image", "Pillow", "read images")
        ops = load_extra("PIL.ImageOps", "Pillow", "read images")
        try:
            with readable(), pil.open(image if isinstance(image, Path) else io.BytesIO(image)) as file:
                return ops.exif_transpose(file).convert("L" if len(self.mean) == 1 else "RGB")
        except (UnreadableError, pil.DecompressionBombError) as error:
            raise DataError(f"{where}: expected an image, got one that cannot be decoded ({error})") from error

    def normalize(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return `(pixel / 255 - mean) / std` for float32 pixels of shape (..., C)."""
        # float32, and in the order of usual training code, so that results are bit-identical
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        y: npt.NDArray[np.float32] = (pixels / np.float32(255) - mean) / std
        return y

    def _resized(self, picture: Any, pil: Any) -> Any:
        if self.size is None:
            return picture
        width, height = picture.size
        if isinstance(self.size, int):
            short = min(width, height)
            width, height = self.size * width // short, self.size * height // short
        else:
            height, width = self.size
        return picture if picture.size == (width, height) else picture.resize((width, height), pil.Resampling.BILINEAR)

    def _cropped(self, picture: Any, where: str) -> Any:
        if self.crop is None:
            return picture
        height, width = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        if picture.height < height or picture.width < width:
            raise DataError(
                f"{where}: the image is {picture.height} x {picture.width} (height x width) before the crop to "
                f"{height} x {width}. Set --size (size under [image]) to at least the crop."
            )
        top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
        return picture.crop((left, top, left + width, top + height))


UNDESCRIBED = Preprocess(assumed=True)
"""Preprocessing of pictures that nothing describes: they are scaled to 0..1."""


class PictureSource(ABC):
    """Base of sources of images, whose preprocessing depends on the model that they are for."""

    once = False
    preprocess: Preprocess

    def for_inputs(self, shapes: Shapes) -> Self:
        """Return the source for a model (see `Preprocess.for_input`)."""
        fitted = copy.copy(self)
        if len(shapes) == 1:
            fitted.preprocess = self.preprocess.for_input(next(iter(shapes.values())))
        return fitted

    @abstractmethod
    def picture(self) -> Any:
        """Decode the first image, as a PIL image in RGB or grey."""


class ImageFolder(PictureSource, LabelledFiles):
    """Directory of class folders with images; or of images only, then without labels (see `LabelledFiles`)."""

    preprocess: Preprocess

    def __init__(
        self, path: Path, preprocess: Preprocess, *, labels: bool = True, classes: tuple[str, ...] | None = None
    ) -> None:
        expected = "class folders with images, images, or .npy files"
        super().__init__(path, SUFFIXES, expected, labels=labels, classes=classes)
        self.preprocess = preprocess

    def picture(self) -> Any:
        return self.preprocess.decode(self.files[0], str(self.files[0]))
