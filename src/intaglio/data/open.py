"""Open data by path or from Python objects as a Dataset."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from intaglio.data.cepstrum import Cepstrum
from intaglio.data.chunk import as_array, label_array
from intaglio.data.dataset import Dataset
from intaglio.data.extras import load_extra
from intaglio.data.images import SUFFIXES, UNDESCRIBED, ImageFolder, PictureSource
from intaglio.data.items import IterableSource, SequenceSource
from intaglio.data.parquet import ParquetSource
from intaglio.data.pictures import Descriptor
from intaglio.data.sounds import SoundFolder
from intaglio.data.source import ArraySource, NamedArrays, NpyFolder, NpySource, NpzSource, SampleSource
from intaglio.data.targets import PicturesWithTargets, WithTargets
from intaglio.errors import DataError
from intaglio.files.import_name import import_name

DataLike: TypeAlias = "str | os.PathLike[str] | Iterable[Any] | Callable[[], Iterable[Any]] | Dataset | Descriptor"
ARRAYS = {".npz", ".npy"}
NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
"""package.module:name"""


def open_data(
    source: DataLike, *, limit: int | None = None, batch_size: int = 32, labels: bool = True, pair: bool = False
) -> Dataset:
    """Open data; only its shape is read.

    Args:
        source: a path to
            - a directory of class folders with images (labels: the sorted folder names) or of images without labels,
              or of .wav files where a descriptor says how sounds are prepared,
            - a `.parquet` with columns `image` (struct with `bytes`) and `label`,
            - a `.npz` with `x` (or one array per model input, by its name) and `y`,
            - a `.npy`, or a directory of them, each one sample (or a batch, if it has one axis more than the model's),
            - "package.module:name" of one of the Python objects below, importable from the current folder,
            - a `.toml` descriptor that names one of these with its preprocessing (see `descriptor.read_descriptor`);
            or what `intaglio.pictures` returns; an array, axis 0 counting samples; a pair (x, y) of arrays; a dict of
            arrays by input name; a list, a torch Dataset or DataLoader, any iterable of samples or batches, each an x
            or a pair (x, y); a function that returns a new iterable. An iterator can be read only once. x may be a
            tuple or a dict where a model has several inputs. Images without a descriptor are only scaled to 0..1.
        limit: most samples, from the start.
        batch_size: default batch size of `Dataset.batches()`.
        labels: whether to read labels; if not, they are ignored.
        pair: whether a tuple of an array and as many labels is always `(x, y)`; if not, only where y has one axis, as
            it may be two samples.

    Raises:
        DataError: it does not exist, cannot be read, or has another form.
        UsageError: a library of the extra `quantize` is missing.
    """
    source = named_data(source)
    if isinstance(source, Dataset):
        return source.limit(limit)
    if isinstance(source, Descriptor):
        found = _described(source, labels)
    elif isinstance(source, str | os.PathLike):
        found = _from_path(Path(source), labels)
    else:
        found = _from_object(source, labels, pair)
    return Dataset(found, batch_size=batch_size).limit(limit)


def named_data(source: Any) -> Any:
    """Return the Python object that "package.module:name" names; other data are returned as they are.

    Raises:
        UsageError: it cannot be imported.
    """
    named = isinstance(source, str) and NAME.fullmatch(source)
    return import_name(source, "data") if named and not os.path.exists(source) else source


def has_pictures(path: Path) -> bool:
    """Tell whether a path is, or should be, that of pictures: no array file, no descriptor, no folder of arrays."""
    named = NAME.fullmatch(str(path)) and not path.exists()
    return not named and path.suffix.lower() not in {*ARRAYS, ".toml"} and not any(path.glob("*.npy"))


def _from_path(path: Path, labels: bool) -> SampleSource:
    if path.suffix.lower() == ".toml" and path.exists():
        load_extra("pydantic", "pydantic", "read data descriptors")
        from intaglio.data.descriptor import read_descriptor  # here, since a core install has no pydantic

        return _described(read_descriptor(path), labels)
    return _described(Descriptor(path, None), labels)


def _described(found: Descriptor, labels: bool) -> SampleSource:
    """Open the data that a descriptor names, with its targets; one without origin may also describe a plain path."""
    if found.label is None or not labels:
        return _samples(found, labels)
    if found.path.suffix.lower() == ".parquet" and not found.label.exists():
        return ParquetSource(found.path, found.image or UNDESCRIBED, classes=found.classes, column=found.label.name)
    samples = _samples(found, labels=False)
    if isinstance(samples, PictureSource):
        return PicturesWithTargets(samples, found.label, str(found.origin))
    return WithTargets(samples, found.label, str(found.origin))


def _samples(found: Descriptor, labels: bool) -> SampleSource:
    path, suffix, origin = found.path, found.path.suffix.lower(), found.origin
    if not path.exists():
        named = f" (named by {origin})" if origin else ""
        raise DataError(f"{path}{named}: expected data, got no such file or directory. Check the path.")
    if found.image is not None and suffix in ARRAYS:
        raise DataError(
            f"{origin or 'pictures'}: [image] prepares image files, but path names the array file {path}. Leave it out."
        )
    if found.sound is not None:
        return _from_sounds(found, found.sound, labels)
    if path.is_dir():
        return _from_folder(found, labels)
    if suffix == ".parquet":
        return ParquetSource(path, found.image or UNDESCRIBED, labels=labels, classes=found.classes)
    if suffix in ARRAYS:
        source = NpzSource(path, labels=labels) if suffix == ".npz" else NpySource(path)
        source.class_names = found.classes
        return source
    raise DataError(
        f"{path}: expected a directory of images or .npy files, a .parquet, .npz, .npy"
        f"{'' if origin else ' or .toml descriptor'}, got a {suffix or 'file without suffix'}"
    )


def _from_folder(found: Descriptor, labels: bool) -> SampleSource:
    path = found.path
    arrays = sorted(path.glob("*.npy"))
    if not arrays and not found.image and next(path.rglob("*.wav"), None):
        raise DataError(f"{path}: holds .wav files. Name it as path in a .toml descriptor with the section [sound].")
    if not arrays:
        return ImageFolder(path, found.image or UNDESCRIBED, labels=labels, classes=found.classes)
    if found.image is not None:
        raise DataError(
            f"{found.origin or 'pictures'}: [image] prepares image files, but {path} holds .npy files. Leave it out."
        )
    if any(p.suffix.lower() in SUFFIXES for p in path.iterdir()):
        raise DataError(f"{path}: holds both .npy files and images. Give a directory of one kind.")
    others = sorted(p.name for p in path.iterdir() if p.suffix.lower() in {".toml", ".npz", ".parquet"})
    if others:
        raise DataError(f"{path}: holds .npy files and {', '.join(others)}. Name one of them instead of the directory.")
    return NpyFolder(path, arrays)


def _from_sounds(found: Descriptor, sound: Cepstrum, labels: bool) -> SampleSource:
    if found.image is not None:
        raise DataError(f"{found.origin}: expected [image] or [sound], got both. Leave one out.")
    if not found.path.is_dir():
        raise DataError(f"{found.origin}: [sound] prepares .wav files, but path names no folder: {found.path}")
    return SoundFolder(found.path, sound, labels=labels, classes=found.classes)


def _from_object(source: Any, labels: bool, pair: bool) -> SampleSource:
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return ArraySource("array", (as_array(source, "array"),))
    if isinstance(source, Mapping):
        if not source:
            raise DataError("data: expected arrays by input name, got an empty dict")
        arrays = {str(k): as_array(v, f"array '{k}'") for k, v in source.items() if k != "y" or len(source) == 1}
        if "y" in source and len(source) > 1:
            arrays["y"] = label_array(source["y"], "array 'y'", len(next(iter(arrays.values()))))
        return NamedArrays(arrays, labels=labels)
    if pair and isinstance(source, tuple) and len(source) == 2 and _is_stack(source[0]):
        x = as_array(source[0], "array")
        if hasattr(source[1], "__len__"):
            return ArraySource("arrays", (x,), label_array(source[1], "labels", len(x)) if labels else None)
    if isinstance(source, tuple) and len(source) == 2 and all(_is_stack(part) for part in source):
        x, y = (as_array(part, "array") for part in source)
        if y.ndim == 1 or y.shape[1:] == (1,):  # otherwise two samples, or two batches
            return ArraySource("arrays", (x,), y if labels else None)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return SequenceSource(source, labels=labels)
    if isinstance(source, Iterable) or callable(source):
        return IterableSource(source, labels=labels)
    raise DataError(
        f"data: expected a path, an array or an iterable of arrays or pairs (x, y), got {type(source).__name__}"
    )


def _is_stack(value: Any) -> bool:
    return len(getattr(value, "shape", ())) >= 1
