"""What a data descriptor says of pictures, presets of their preprocessing, and names of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from intaglio.data.cepstrum import Cepstrum
from intaglio.data.images import Preprocess
from intaglio.data.postprocess import Postprocess
from intaglio.errors import DataError

PRESETS = {
    "imagenet": Preprocess(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": Preprocess(32, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "raw": Preprocess(std=(1 / 255,) * 3),
    "caffe": Preprocess(256, 224, (103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3, channels="BGR"),
}
"""Usual preprocessing by name. imagenet: the short side is resized to 256, and the central 224 x 224 are cropped;
cifar10: 32 x 32; raw: pixels from 0 to 255, not resized; caffe: sizes of imagenet, blue first, and pixels from 0 to 255
minus their mean, as networks of Caffe and the VGG and ResNet of Keras take them."""


@dataclass(frozen=True)
class Descriptor:
    """Content of a data descriptor.

    Attributes:
        path: the data.
        image: preprocessing of images; None for arrays.
        classes: names of the classes 0, 1, ...; None: the sorted names of class folders.
        origin: file of the descriptor; None if it was made by `pictures`.
        postprocess: what the outputs of the model mean; None: see `app.application`.
        sound: preprocessing of sounds; None: no sounds.
        label: targets of the samples, in place of class labels (see `data.targets`).
    """

    path: Path
    image: Preprocess | None
    classes: tuple[str, ...] | None = None
    origin: Path | None = None
    postprocess: Postprocess | None = None
    sound: Cepstrum | None = None
    label: Path | None = None


def read_classes(path: Path) -> tuple[str, ...]:
    """Read names of classes: one a line, in the order of the network's scores.

    Raises:
        DataError: the file cannot be read, is empty, or has a name twice.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").rstrip().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path}: expected a text file with one class name a line, got one that cannot be read ({reason})"
        ) from None
    check_classes(names, str(path))
    return names


def check_classes(names: tuple[str, ...], where: str) -> None:
    """Check that there are names, each once.

    Raises:
        DataError: there is none, an empty one, or one twice.
    """
    if not all(names) or not names:
        line = names.index("") + 1 if names else 1
        raise DataError(f"{where}: expected one class name a line, got an empty line {line}")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(
            f"{where}: expected each class name once, got {twice!r} in lines "
            f"{' and '.join(str(i + 1) for i, name in enumerate(names) if name == twice)}"
        )
