"""Sentences that say how pictures are prepared, for the history and for the output of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from intaglio.data.images import PictureSource, Preprocess

if TYPE_CHECKING:
    from intaglio.data.dataset import Dataset

ASSUMED = (
    "pictures are only scaled to 0..1, as no preset, mean or standard deviation is given; if the network was trained "
    "otherwise, give --preset, or --mean and --std (the same keys under [image] of a descriptor, or arguments of "
    "intaglio.pictures)"
)


def preprocessing_of(data: Dataset | None) -> Preprocess | None:
    """Return how the pictures of a data set are prepared; None where there are no pictures."""
    return data.source.preprocess if data is not None and isinstance(data.source, PictureSource) else None


def assumed(data: Dataset | None) -> str | None:
    """Say that nothing describes how pictures are normalized; None where something does, or there are no pictures."""
    found = preprocessing_of(data)
    return ASSUMED if found is not None and found.assumed else None


def preprocessing_sentence(found: Preprocess) -> str:
    """Say how pictures are prepared."""
    sizes = "" if found.size is None else f"resized to {_side(found.size, 'short side ')}, "
    sizes += "" if found.crop is None else f"cropped to {_side(found.crop)}, "
    layout = found.layout or "NCHW"
    form = f"{'grey' if len(found.mean) == 1 else found.channels}, {layout}"
    if found.assumed:
        return f"{ASSUMED}; {sizes}{form}"
    return f"pictures: {sizes}scaled to 0..1, mean {_numbers(found.mean)}, std {_numbers(found.std)}, {form}"


def difference(calibration: Dataset | None, scored: Dataset | None) -> str | None:
    """Say that two data sets of pictures are prepared differently; None where they are not."""
    one, other = preprocessing_of(calibration), preprocessing_of(scored)
    if one is None or other is None or one == other:
        return None
    return (
        f"calibration and evaluation data are prepared differently: {preprocessing_sentence(one)}; "
        f"and {preprocessing_sentence(other)}"
    )


def _side(side: int | tuple[int, int], of_one: str = "") -> str:
    if isinstance(side, tuple):
        return f"{side[0]} x {side[1]}"
    return f"{of_one}{side}" if of_one else f"{side} x {side}"


def _numbers(values: tuple[float, ...]) -> str:
    shown = values[:1] if len(set(values)) == 1 else values
    return ", ".join(f"{value:.4g}" for value in shown)
