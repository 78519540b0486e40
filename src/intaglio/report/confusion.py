"""Compare the predictions of the float network and the integer program, with pictures of differing samples."""

from __future__ import annotations

import base64
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data.images import Preprocess
from intaglio.evaluation.evaluate import Differing, Evaluation
from intaglio.report.facts import Confusion, DifferingSample

if TYPE_CHECKING:
    from intaglio.data import Dataset

KEPT = 24  # samples shown
SIDE = 112  # pixels; larger pictures are scaled down, so that all together stay below 250 KB
_LOSSLESS = 64  # pixels; pictures up to this size are stored as PNG, larger ones as JPEG
RIGHT = ("both right", "only float right", "only integer right", "both wrong")


def confusion(evaluation: Evaluation, data: Dataset) -> Confusion | None:
    """Compare the predictions of the first stage with those of the last.

    Args:
        evaluation: result with the float network first and the integer program last.
        data: the evaluation data, for class names and image preprocessing.
    Returns:
        The comparison; None without class labels.
    """
    labels = evaluation.labels
    if labels is None:
        return None
    real, integer = evaluation.predictions[0], evaluation.predictions[-1]
    who = np.where(real == labels, np.where(integer == labels, 0, 1), np.where(integer == labels, 2, 3))
    found = getattr(data.source, "preprocess", None)  # sounds are prepared otherwise
    preprocess = found if isinstance(found, Preprocess) else None
    return Confusion(
        samples=len(labels),
        cells={(int(a), int(b)): n for (a, b), n in Counter(zip(real.tolist(), integer.tolist(), strict=True)).items()},
        outcomes={name: int((who == i).sum()) for i, name in enumerate(RIGHT)},
        names=data.class_names or (),
        differing=[_sample(d, labels, real, integer, preprocess) for d in evaluation.differing[:KEPT]],
    )


def _sample(
    differing: Differing, labels: NDArray[Any], real: NDArray[Any], integer: NDArray[Any], preprocess: Preprocess | None
) -> DifferingSample:
    i = differing.number
    pixels = pixels_of(differing.x, preprocess)
    image, size = (None, (0, 0)) if pixels is None else thumbnail(pixels)
    return DifferingSample(i, int(labels[i]), int(real[i]), int(integer[i]), image, size)


def pixels_of(x: NDArray[Any], preprocess: Preprocess | None = None) -> NDArray[np.uint8] | None:
    """Undo image preprocessing, to show an input as a picture.

        pixel = 255 (x std + mean)        without known mean and std: scaled from min(x) to max(x)

    Args:
        x: one input without the batch axis, (C, H, W) or (H, W, C).
        preprocess: its preprocessing, if known.
    Returns:
        uint8 (H, W) or (H, W, 3); None if x is not an image.
    """
    if x.ndim != 3 or not np.isfinite(x).all():
        return None
    layout = getattr(preprocess, "layout", None) or ("NHWC" if x.shape[2] in (1, 3) and x.shape[0] > 3 else "NCHW")
    y = x.astype(np.float64) if layout == "NHWC" else x.astype(np.float64).transpose(1, 2, 0)
    if y.shape[2] not in (1, 3) or min(y.shape[:2]) < 8:
        return None
    if preprocess is not None and len(preprocess.mean) == y.shape[2]:
        y = y * np.array(preprocess.std) + np.array(preprocess.mean)
    else:
        low, high = y.min(), y.max()
        y = (y - low) / (high - low or 1.0)
    if preprocess is not None and preprocess.channels == "BGR":
        y = y[..., ::-1]
    pixels: NDArray[np.uint8] = np.clip(np.rint(y * 255), 0, 255).astype(np.uint8)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def thumbnail(pixels: NDArray[np.uint8]) -> tuple[str | None, tuple[int, int]]:
    """Encode a picture as a `data:` URL (None if Pillow is not installed); return it with width and height."""
    try:
        from PIL import Image
    except ImportError:  # pictures are optional
        return None, (0, 0)
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    kind = "PNG" if max(picture.size) <= _LOSSLESS else "JPEG"
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, **({"quality": 82} if kind == "JPEG" else {}))
    address = f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return address, (picture.width, picture.height)
