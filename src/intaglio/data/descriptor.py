"""Data descriptors: TOML files with the path of data, their preprocessing, and what a model's outputs mean."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from intaglio.data.cepstrum import Cepstrum
from intaglio.data.images import Preprocess
from intaglio.data.pictures import PRESETS, Descriptor, check_classes, read_classes
from intaglio.data.postprocess import BoxOutput, ClassOutput, NumberOutput, Postprocess
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, read_text, read_toml

Side = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0, lt=1 << 24)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Image(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    preset: Literal["imagenet", "cifar10", "raw"] | None = None
    size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    crop: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    mean: list[Finite] | None = None
    std: list[Positive] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None

    @model_validator(mode="after")
    def _channels(self) -> _Image:
        made = self.preprocess()
        if len(made.mean) != len(made.std) or len(made.mean) not in (1, 3):
            raise ValueError(
                "mean and std must both hold 3 numbers (RGB) or both 1 (grey), "
                f"got {len(made.mean)} and {len(made.std)}"
            )
        return self

    def preprocess(self) -> Preprocess:
        """The preset, with the other keys in place of its values."""
        base = Preprocess() if self.preset is None else PRESETS[self.preset]
        return Preprocess(
            base.size if self.size is None else _side(self.size),
            base.crop if self.crop is None else _side(self.crop),
            base.mean if self.mean is None else tuple(self.mean),
            base.std if self.std is None else tuple(self.std),
            self.layout,
        )


class _Sound(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rate: Count = 16000
    samples: Count = 16000
    window: Count = 480
    stride: Count = 320
    fft: Count = 512
    bands: Count = 40
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20.0
    high: Positive = 4000.0
    coefficients: Annotated[int, Field(ge=0)] = 10
    power: Literal[1, 2] = 2
    floor: Annotated[float, Field(ge=1e-30, allow_inf_nan=False)] = 1e-6


class _Classes(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["classes"]
    output: str | None = None
    top: Side = 3
    softmax: bool | None = None

    def made(self, folder: Path) -> Postprocess:
        return ClassOutput(self.output, self.top, self.softmax)


class _Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["numbers"]

    def made(self, folder: Path) -> Postprocess:
        return NumberOutput()


class _Boxes(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["boxes"]
    boxes: str | None = None
    scores: str | None = None
    form: Literal["corners", "center", "anchors"] = "corners"
    order: Literal["xy", "yx"] = "xy"
    transposed: bool = False
    activation: Literal["none", "sigmoid"] = "none"
    background: Annotated[int, Field(ge=0)] | None = None
    anchors: str | None = None
    variances: Annotated[list[Positive], Field(min_length=2, max_length=2)] = [0.1, 0.2]
    threshold: Finite = 0.5
    iou: Annotated[float, Field(ge=0, le=1)] = 0.5
    most: Annotated[int, Field(gt=0, le=1000)] = 20

    @model_validator(mode="after")
    def _anchors(self) -> _Boxes:
        if (self.anchors is not None) != (self.form == "anchors"):
            raise ValueError('form = "anchors" and anchors, the name of a file, are used together')
        return self

    def made(self, folder: Path) -> Postprocess:
        given = self.model_dump(exclude={"kind", "anchors", "variances"})
        anchors = None if self.anchors is None else read_anchors(folder / self.anchors)
        return BoxOutput(**given, anchors=anchors, variances=(self.variances[0], self.variances[1]))


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[str, Field(min_length=1)]
    classes: Annotated[str, Field(min_length=1)] | None = None
    label: Annotated[str, Field(min_length=1)] | None = None
    image: _Image | None = None
    sound: _Sound | None = None
    postprocess: Annotated[_Classes | _Numbers | _Boxes, Field(discriminator="kind")] | None = None


def read_descriptor(path: Path) -> Descriptor:
    """Read and check a descriptor; its `path` is relative to the descriptor's folder.

        path = "cifar10-test.parquet"
        classes = "labels.txt"            # names of the classes, one a line
        label = "masks"    # in place of class labels: a folder of masks, a .npy, .txt or .json, a column of a .parquet
        [image]            # absent for plain arrays
        preset = "cifar10" # imagenet, cifar10 or raw; the following keys replace its values
        size = 32          # resize the short side (or [height, width]), then
        crop = 32          # centre crop to
        mean = [0.4914, 0.4822, 0.4465]   # after scaling to 0..1; one number: grey images
        std = [0.2470, 0.2435, 0.2616]
        layout = "NCHW"
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
        data = _Data.model_validate(content)
    except ValidationError as error:
        raise DataError("\n".join(_sentence(path, e) for e in error.errors())) from error
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
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
) -> Descriptor:
    """Describe a folder of pictures and their preprocessing, as a data descriptor does.

        y = (pixel / 255 - mean) / std

    Args:
        folder: class folders with images, images without labels, or a .parquet file.
        preset: imagenet (short side to 256, centre crop to 224, its mean and std), cifar10 (32 x 32) or raw (pixels
            0 to 255, not resized); the other arguments replace its values.
        size: resize the short side to this and crop the centre to a square of it, or resize to (height, width).
        crop: crop the centre to another size than `size`.
        mean, std: of each channel, after scaling to 0..1; a single number for grey images or for all channels.
        layout: NCHW or NHWC; None: that of the model's input.
        classes: names of the classes in the order of the network's scores, or a text file with one a line; None: the
            sorted names of the class folders.
    Returns:
        Data that `intaglio.quantize`, `intaglio.evaluate` and other calls take.
    Raises:
        DataError: a value is not valid; the text names it.
    """
    if crop is None and isinstance(size, int):
        crop = size
    given = {"preset": preset, "size": size, "crop": crop, "mean": mean, "std": std, "layout": layout}
    try:
        image = _Image.model_validate({key: _plain(key, value) for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise DataError("; ".join(_sentence(Path(folder), e) for e in error.errors())) from error
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


def read_anchors(path: Path) -> tuple[tuple[float, ...], ...]:
    """Read anchors: centre x, y, width and height in each line, separated by commas.

    Raises:
        DataError: the file cannot be read, or holds other numbers.
    """
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        rows = tuple(tuple(float(part) for part in line.split(",")) for line in lines)
    except (UnreadableError, ValueError) as error:
        raise DataError(f"{path}: expected x,y,width,height in each line, got other text ({error})") from error
    wrong = next((i for i, row in enumerate(rows) if len(row) != 4 or not np.isfinite(row).all()), None)
    if wrong is not None or not rows:
        got = "no line" if wrong is None else repr(lines[wrong])
        raise DataError(f"{path}: expected x,y,width,height in each line, got {got}")
    return rows


def _side(value: int | list[int] | None) -> int | tuple[int, int] | None:
    return (value[0], value[1]) if isinstance(value, list) else value


def _sentence(path: Path, error: Any) -> str:
    # pydantic's location of a union also contains names of alternatives ("constrained-int"), which are not keys; behind
    # postprocess stands its kind
    place = [part for i, part in enumerate(error["loc"]) if i != 1 or error["loc"][0] != "postprocess"]
    key = ".".join(str(part) for part in place if isinstance(part, int) or part in _KEYS)
    if error["type"] == "extra_forbidden":
        section: type[BaseModel] = next((_SECTIONS[part] for part in error["loc"][-2:-1] if part in _SECTIONS), _Data)
        known = sorted(section.model_fields)
        return f"{path}: {'.'.join(map(str, place))}: unknown key; known are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{path}: {key}: missing, it must name the data"
    if error["type"].startswith("union_tag"):
        return f"{path}: postprocess.kind: expected {_KINDS}, got {error['input'].get('kind')!r}"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f", got {error['input']!r}"
    return f"{path}: {key}: {message}{got}"


_SECTIONS: dict[Any, type[BaseModel]] = {
    "image": _Image,
    "sound": _Sound,
    "classes": _Classes,
    "numbers": _Numbers,
    "boxes": _Boxes,
}
_KINDS = "'classes', 'boxes' or 'numbers'"
_KEYS = set(_Data.model_fields).union(*(section.model_fields for section in _SECTIONS.values()))
