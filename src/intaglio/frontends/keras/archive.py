"""Look into .keras and .h5 files before Keras does: their parts, their sizes and the description of the network.

A .keras file is a ZIP archive of metadata.json, config.json and model.weights.h5. A legacy .h5 file is HDF5 with the
description in the attribute `model_config` and the weights in the group `model_weights`.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intaglio.errors import ModelError

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {"metadata.json", _CONFIG, _WEIGHTS}
_ZIP_SIGNATURE, _HDF5_SIGNATURE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
# Weights hardly compress. What promises more than this many times its own size is no network.
_LARGEST_EXPANSION = 100
_SMALLEST_LIMIT = 2**26

Config = dict[str, Any]


def read_config(path: Path) -> Config:
    """Read the description of the network in a file, after checking that the file has the parts that it should have.

    Args:
        path: a .keras or .h5 file.
    Returns:
        Keras' configuration: class_name, config, and in .keras files module and registered_name.
    Raises:
        ModelError: the file is missing, damaged, or holds something else than a Keras model.
    """
    if not path.is_file():
        what = "a directory" if path.is_dir() else "nothing there"
        raise ModelError(f"{path}: expected a Keras model file, got {what}; check the path")
    with path.open("rb") as file:
        start = file.read(len(_HDF5_SIGNATURE))
    if path.suffix.lower() == ".keras":
        if start[: len(_ZIP_SIGNATURE)] != _ZIP_SIGNATURE:
            found = "an HDF5 file: rename it to .h5" if start == _HDF5_SIGNATURE else "something else: save it again"
            raise ModelError(f"{path}: expected a .keras archive, got {found}")
        return _read_archive(path)
    if start != _HDF5_SIGNATURE:
        found = "a ZIP archive: rename it to .keras" if start[:4] == _ZIP_SIGNATURE else "something else: save it again"
        raise ModelError(f"{path}: expected an HDF5 file, got {found}")
    return _read_legacy(path)


def _read_archive(path: Path) -> Config:
    with _one_error(path, "a .keras archive"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if sorted(names) != sorted(_MEMBERS):
            more, less = sorted(set(names) - _MEMBERS), sorted(_MEMBERS - set(names))
            found = [f"{name!r} as well" for name in more[:3]] + [f"no {name}" for name in less]
            raise ModelError(
                f"{path}: expected an archive of {', '.join(sorted(_MEMBERS))} only, got "
                f"{' and '.join(found or ['a member twice'])}; save the model again with model.save('model.keras')"
            )
        limit = _limit(path)
        for info in archive.infolist():
            if info.file_size > limit:
                raise ModelError(
                    f"{path}: expected at most {limit} bytes in {info.filename}, got {info.file_size} in an archive of "
                    f"{path.stat().st_size}; it is refused as a decompression bomb"
                )
        content = archive.read(_CONFIG)
        _check_hdf5(path, io.BytesIO(archive.read(_WEIGHTS)), limit)
        return _parsed(path, content)


def _read_legacy(path: Path) -> Config:
    import h5py

    with _one_error(path, "an HDF5 file"):
        _check_hdf5(path, path, _limit(path))
        with h5py.File(path, "r") as file:
            content = file.attrs.get("model_config")
            if content is None:
                weights_only = (
                    "layer_names" in file.attrs or "layers" in file or "_layer_checkpoint_dependencies" in file
                )
                raise ModelError(
                    f"{path}: expected a whole model, got "
                    f"{'weights alone' if weights_only else 'an HDF5 file without a description of a network'}; save "
                    "it with model.save('model.keras'), or give package.module:factory, which makes the model, and "
                    "the file with --weights"
                )
        return _parsed(path, content)


def rewrite_legacy(path: Path, config: Config, target: Path) -> None:
    """Copy a legacy .h5 file with another description of its network."""
    import h5py

    target.write_bytes(path.read_bytes())
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)


def _parsed(path: Path, content: str | bytes) -> Config:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: expected a description of a network in JSON, got: {error}; save it again") from error
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise ModelError(f"{path}: expected the description of a Keras model, got other JSON; save the model again")
    return config


def _check_hdf5(path: Path, source: Path | io.BytesIO, limit: int) -> None:
    """Refuse data that lie outside the file, and sizes that the file cannot hold."""
    import h5py

    with h5py.File(source, "r") as file:
        total = sum(dataset.nbytes for dataset in _datasets(path, file, set()))
    if total > limit:
        raise ModelError(f"{path}: expected at most {limit} bytes of weights, got {total}; the file is damaged")


def _datasets(path: Path, group: Any, seen: set[int]) -> Iterator[Any]:
    import h5py

    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ModelError(f"{path}: expected weights inside the file, got the link {name!r}; such a file is refused")
        item = group[name]
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ModelError(
                    f"{path}: expected weights inside the file, got {item.name!r}, whose data lie in another file; "
                    "such a file is refused"
                )
            yield item
        elif isinstance(item, h5py.Group):
            address = h5py.h5o.get_info(item.id).addr
            if address not in seen:  # a damaged file may hold a group inside itself
                seen.add(address)
                yield from _datasets(path, item, seen)


def _limit(path: Path) -> int:
    return max(_SMALLEST_LIMIT, _LARGEST_EXPANSION * path.stat().st_size)


@contextlib.contextmanager
def _one_error(path: Path, expected: str) -> Iterator[None]:
    """Turn what h5py and zipfile raise for damaged files into one error."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path}: expected {expected}, got one that is damaged or was cut short ({type(error).__name__}: {text}); "
            "copy or save the file again"
        ) from error
