"""Pictures: from the pixels of a PPM file to codes of the model's input, as `data.images.Preprocess` prepares them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.app.pieces import Example, Piece
from intaglio.codegen.text import array_text
from intaglio.data.extras import load_extra
from intaglio.data.images import Preprocess
from intaglio.errors import CompileError
from intaglio.program import TensorInfo

LONGEST_SIDE = 4096  # of a picture that is resized, with files; memory for its weights is reserved
LONGEST_SIDE_BARE = 1024
LARGEST = 32767  # pixels on a side


def picture_input(info: TensorInfo, preprocess: Preprocess, *, files: bool) -> Piece:
    """Make the piece that reads pictures.

    Args:
        info: the model's input.
        preprocess: how pictures are prepared.
        files: whether the machine has files, and so more memory.
    Raises:
        CompileError: the model does not take such pictures.
    """
    channels = len(preprocess.mean)
    height, width = _size(info, preprocess, channels)
    numbers = {
        "channels": channels,
        "short_side": preprocess.size if isinstance(preprocess.size, int) else 0,
        "resize_height": preprocess.size[0] if isinstance(preprocess.size, tuple) else 0,
        "resize_width": preprocess.size[1] if isinstance(preprocess.size, tuple) else 0,
        "crop": int(preprocess.crop is not None),
        "height": height,
        "width": width,
        "channels_first": int(preprocess.layout != "NHWC"),
        "blue_first": int(preprocess.channels == "BGR"),
    }
    if max(numbers.values()) > LARGEST:
        raise CompileError(f"pictures: expected sizes of at most {LARGEST}, got {max(numbers.values())}")
    members = "".join(f"    .{name} = {number},\n" for name, number in numbers.items())
    return Piece(
        sources=("read_ppm", "prepare_picture"),
        body="    return prepare_picture(bytes, size, &picture, input, error);\n",
        tables=array_text(picture_codes(info, preprocess), "picture_codes", 4)
        + f"static const struct picture_settings picture = {{\n{members}    .codes = picture_codes,\n}};\n",
        macros={
            "APP_PICTURE_HEIGHT": height,
            "APP_PICTURE_WIDTH": width,
            "APP_RESIZE": int(preprocess.size is not None),
            "APP_COLUMNS_FIRST": int(preprocess.size is not None and pillow_resizes_columns_first()),
            "APP_LONGEST_SIDE": LONGEST_SIDE if files else LONGEST_SIDE_BARE,
        },
    )


def pillow_resizes_columns_first() -> bool:
    """Return whether this Pillow resizes columns before rows if the height shrinks most, as version 13 does.

    The order matters, since each pass rounds to integers.
    """
    pil = load_extra("PIL.Image", "Pillow", "read images")
    noise = np.random.default_rng(0).integers(0, 256, (64, 16), dtype=np.uint8)
    picture, how = pil.fromarray(noise), pil.Resampling.BILINEAR
    columns_first = picture.resize((16, 8), how).resize((8, 8), how)
    return np.array_equal(np.asarray(picture.resize((8, 8), how)), np.asarray(columns_first))


def picture_codes(info: TensorInfo, preprocess: Preprocess) -> NDArray[Any]:
    """Return the code of each of the 256 pixel values of each channel that the model takes, (C, 256)."""
    if info.params is None or info.params.scale.size != 1:
        raise CompileError(
            f"input '{info.name}': expected one scale for pictures, got plain integers or several scales"
        )
    pixels = np.broadcast_to(np.arange(256, dtype=np.float32)[:, None], (256, len(preprocess.mean)))
    return info.params.quantize(preprocess.normalize(pixels).T)


def picture_example(picture: Any) -> Example:
    """Write a PIL image as PPM, or as PGM if it is grey."""
    buffer = io.BytesIO()
    picture.save(buffer, "PPM")
    return Example(".pgm" if picture.mode == "L" else ".ppm", buffer.getvalue())


def _size(info: TensorInfo, preprocess: Preprocess, channels: int) -> tuple[int, int]:
    """Return height and width that the model takes."""
    shape = info.shape
    first = preprocess.layout != "NHWC"
    if len(shape) != 4 or shape[0] != 1 or shape[1 if first else 3] != channels:
        want = f"(1, {channels}, H, W)" if first else f"(1, H, W, {channels})"
        raise CompileError(
            f"input '{info.name}': expected shape {want} for pictures with layout {preprocess.layout or 'NCHW'} and "
            f"{channels} channels, got {shape}; set layout, mean and std under [image] of the data descriptor"
        )
    height, width = shape[2:] if first else shape[1:3]
    final = preprocess.crop if preprocess.crop is not None else preprocess.size
    square = isinstance(final, int) and (preprocess.crop is not None)
    given = (final, final) if square else final if isinstance(final, tuple) else None
    if given is not None and given != (height, width):
        raise CompileError(
            f"input '{info.name}': expected pictures of {height} x {width} (height x width), got {given[0]} x "
            f"{given[1]} from size and crop under [image] of the data descriptor"
        )
    return height, width
