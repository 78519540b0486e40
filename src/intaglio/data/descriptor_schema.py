"""Keys of a data descriptor as pydantic models, and what an error in one of them says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from intaglio.data.images import Preprocess
from intaglio.data.pictures import PRESETS
from intaglio.data.postprocess import BoxOutput, ClassOutput, NumberOutput, Postprocess
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, read_text
from intaglio.files.schema_error import schema_error

Side = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0, lt=1 << 24)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _like(numbers: tuple[float, ...], given: list[float] | None) -> tuple[float, ...]:
    """Return numbers that are equal as one where one is given beside them."""
    return numbers[:1] if given is not None and len(given) == 1 and len(set(numbers)) == 1 else numbers


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class ImageSection(BaseModel):
    """[image]: preprocessing of pictures."""

    model_config = ConfigDict(extra="forbid", strict=True)

    preset: Literal["imagenet", "cifar10", "raw", "caffe"] | None = None
    size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    crop: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    mean: list[Finite] | None = None
    std: list[Positive] | None = None
    layout: Annotated[Literal["NCHW", "NHWC"], BeforeValidator(_upper)] | None = None
    channels: Annotated[Literal["RGB", "BGR"], BeforeValidator(_upper)] | None = None

    @model_validator(mode="after")
    def _channels(self) -> ImageSection:
        made = self.preprocess()
        if len(made.mean) != len(made.std) or len(made.mean) not in (1, 3):
            raise ValueError(
                "mean and std must both hold 3 numbers (colors) or both 1 (grey), "
                f"got {len(made.mean)} and {len(made.std)}"
            )
        return self

    def preprocess(self) -> Preprocess:
        """The preset, with the other keys in place of its values."""
        base = Preprocess() if self.preset is None else PRESETS[self.preset]
        order = self.channels or base.channels
        step = 1 if order == base.channels else -1  # mean and std are in the order of the channels
        mean = _like(base.mean[::step], self.std) if self.mean is None else tuple(self.mean)
        std = _like(base.std[::step], self.mean) if self.std is None else tuple(self.std)
        return Preprocess(
            base.size if self.size is None else _side(self.size),
            base.crop if self.crop is None else _side(self.crop),
            mean,
            std,
            self.layout,
            order,
            assumed=self.preset is None and self.mean is None and self.std is None,
        )


class SoundSection(BaseModel):
    """[sound]: see `cepstrum.Cepstrum`."""

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


class ClassesSection(BaseModel):
    """[postprocess] with kind "classes"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["classes"]
    output: str | None = None
    top: Side = 3
    softmax: bool | None = None

    def made(self, folder: Path) -> Postprocess:
        """Return what the outputs mean; files are in `folder`."""
        return ClassOutput(self.output, self.top, self.softmax)


class NumbersSection(BaseModel):
    """[postprocess] with kind "numbers"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["numbers"]

    def made(self, folder: Path) -> Postprocess:
        """Return what the outputs mean; files are in `folder`."""
        return NumberOutput()


class BoxesSection(BaseModel):
    """[postprocess] with kind "boxes"."""

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
    def _anchors(self) -> BoxesSection:
        if (self.anchors is not None) != (self.form == "anchors"):
            raise ValueError('form = "anchors" and anchors, the name of a file, are used together')
        return self

    def made(self, folder: Path) -> Postprocess:
        """Return what the outputs mean; files are in `folder`."""
        given = self.model_dump(exclude={"kind", "anchors", "variances"})
        anchors = None if self.anchors is None else read_anchors(folder / self.anchors)
        return BoxOutput(**given, anchors=anchors, variances=(self.variances[0], self.variances[1]))


class DescriptorFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[str, Field(min_length=1)]
    classes: Annotated[str, Field(min_length=1)] | None = None
    label: Annotated[str, Field(min_length=1)] | None = None
    image: ImageSection | None = None
    sound: SoundSection | None = None
    postprocess: Annotated[ClassesSection | NumbersSection | BoxesSection, Field(discriminator="kind")] | None = None


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


def error_sentence(path: Path, error: Any) -> str:
    """Say where a pydantic error is and what was expected."""
    # pydantic's location of a union also contains names of alternatives ("constrained-int"), which are not keys; behind
    # postprocess stands its kind
    place = [part for i, part in enumerate(error["loc"]) if i != 1 or error["loc"][0] != "postprocess"]
    key = ".".join(str(part) for part in place if isinstance(part, int) or part in _KEYS)
    if error["type"] == "extra_forbidden":
        section: type[BaseModel] = next(
            (_SECTIONS[part] for part in error["loc"][-2:-1] if part in _SECTIONS), DescriptorFile
        )
        known = sorted(section.model_fields)
        return f"{path}: {'.'.join(map(str, place))}: unknown key; known are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{path}: {key}: missing, it must name the data"
    if error["type"].startswith("union_tag"):
        return f"{path}: postprocess.kind: expected {_KINDS}, got {error['input'].get('kind')!r}"
    return f"{path}: {key}{': ' if key else ''}{schema_error(error)}"


_SECTIONS: dict[Any, type[BaseModel]] = {
    "image": ImageSection,
    "sound": SoundSection,
    "classes": ClassesSection,
    "numbers": NumbersSection,
    "boxes": BoxesSection,
}
_KINDS = "'classes', 'boxes' or 'numbers'"
_KEYS = set(DescriptorFile.model_fields).union(*(section.model_fields for section in _SECTIONS.values()))
