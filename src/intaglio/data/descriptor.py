"""Data descriptors: TOML files with the path of the data and the preprocessing of its images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from intaglio.data.images import Preprocess
from intaglio.errors import DataError
from intaglio.files.reading import UnreadableError, read_toml

Side = Annotated[int, Field(gt=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Image(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    crop: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    mean: list[Finite] = [0.0, 0.0, 0.0]
    std: list[Positive] = [1.0, 1.0, 1.0]
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    @model_validator(mode="after")
    def _channels(self) -> _Image:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(
                "mean and std must both hold 3 numbers (RGB) or both 1 (grey), "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        return self


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[str, Field(min_length=1)]
    image: _Image | None = None


@dataclass(frozen=True)
class Descriptor:
    """Content of a descriptor: path of the data, and preprocessing of images."""

    path: Path
    image: Preprocess | None


def read_descriptor(path: Path) -> Descriptor:
    """Read and check a descriptor; its `path` is relative to the descriptor's folder.

        path = "cifar10-test.parquet"
        [image]            # absent for plain arrays
        size = 32          # resize the short side (or [height, width]), then
        crop = 32          # centre crop to
        mean = [0.4914, 0.4822, 0.4465]   # after scaling to 0..1; one number: grey images
        std = [0.2470, 0.2435, 0.2616]
        layout = "NCHW"

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
    return Descriptor(path.parent / data.path, None if data.image is None else _preprocess(data.image))


def _preprocess(image: _Image) -> Preprocess:
    return Preprocess(_side(image.size), _side(image.crop), tuple(image.mean), tuple(image.std), image.layout)


def _side(value: int | list[int] | None) -> int | tuple[int, int] | None:
    return (value[0], value[1]) if isinstance(value, list) else value


def _sentence(path: Path, error: Any) -> str:
    # pydantic's location of a union also contains names of alternatives ("constrained-int"), which are not keys
    key = ".".join(str(part) for part in error["loc"] if isinstance(part, int) or part in _KEYS)
    if error["type"] == "extra_forbidden":
        known = sorted(
            _Image.model_fields if key.startswith("image") or "image" in error["loc"] else _Data.model_fields
        )
        return f"{path}: {'.'.join(map(str, error['loc']))}: unknown key; known are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{path}: {key}: missing, it must name the data"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f", got {error['input']!r}"
    return f"{path}: {key}: {message}{got}"


_KEYS = {*_Data.model_fields, *_Image.model_fields}
