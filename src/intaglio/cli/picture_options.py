"""Options that say how pictures are prepared: a data descriptor on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.errors import UsageError
from intaglio.report.terminal_text import folded

if TYPE_CHECKING:
    from intaglio.data import DataLike, Dataset

NAMES = ("preset", "size", "crop", "mean", "std", "layout", "channels", "classes")
NO_DATA = ("none", "synthesize")


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that prepare the pictures of a folder or Parquet file."""
    group = parser.add_argument_group("pictures", "for folders of images and .parquet files, instead of a descriptor")
    group.add_argument(
        "--preset",
        metavar="NAME",
        help="usual preprocessing: imagenet (short side to 256, centre crop to 224, its mean and std), cifar10 "
        "(32 x 32), raw (pixels 0 to 255) or caffe (BGR pixels 0 to 255 minus their mean); the other options replace "
        "its values; without it, --mean and --std, pictures are scaled to 0..1 only",
    )
    group.add_argument(
        "--size", metavar="N|H,W", help="resize the short side to N and crop the centre N x N, or resize to H x W"
    )
    group.add_argument("--crop", metavar="N|H,W", help="crop the centre to another size than --size")
    group.add_argument(
        "--mean",
        metavar="R,G,B",
        help="mean of each channel, after scaling to 0..1, in the order of --channels; one number for grey images or "
        "all channels (default: 0)",
    )
    group.add_argument("--std", metavar="R,G,B", help="standard deviation of each channel, as --mean (default: 1)")
    group.add_argument("--layout", metavar="NCHW|NHWC", help="layout (default: that of the model's input)")
    group.add_argument(
        "--channels",
        metavar="RGB|BGR",
        help="order of the color channels that the network takes (default: that of the preset, else RGB)",
    )
    group.add_argument(
        "--classes",
        metavar="FILE.txt",
        help="names of the classes, one a line, in the order of the network's scores (default: sorted folder names)",
    )


def picture_words(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the options as they were given, for a command that is suggested next."""
    given = ((f"--{name}", getattr(args, name)) for name in NAMES if getattr(args, name) is not None)
    return tuple(word for pair in given for word in pair)


def described(args: argparse.Namespace, *names: str | None) -> list[Any]:
    """Return what data arguments name; pictures with the preprocessing of the options.

    Args:
        args: of a command with `add_picture_options`.
        names: values of --data, --eval and the like; None where an option is absent.
    Raises:
        DataError: an option has a wrong value.
        UsageError: there are options, and no argument names pictures.
    """
    given = {name: getattr(args, name) for name in NAMES if getattr(args, name) is not None}
    if not given:
        return list(names)
    from intaglio.data.descriptor import pictures
    from intaglio.data.open import has_pictures

    found: list[DataLike | None] = []
    for name in names:
        takes = name is not None and name not in NO_DATA and has_pictures(Path(name))
        found.append(pictures(str(name), **_values(given)) if takes else name)
    if found == list(names):
        options = ", ".join(f"--{name}" for name in given)
        raise UsageError(
            f"{options}: expected a folder of images or a .parquet file, got "
            f"{', '.join(name for name in names if name is not None)}; arrays are not preprocessed, and a .toml "
            "descriptor has keys of these names"
        )
    return found


def normalization(args: argparse.Namespace) -> tuple[Sequence[float], Sequence[float], str | None]:
    """Return mean, standard deviation and layout of the options, for a program that takes the pixels themselves.

    Raises:
        UsageError: --app is there too, which prepares pictures itself, or an option has a wrong value.
    """
    if args.app:
        raise UsageError("--io-dtype: expected no --app, whose program prepares pictures itself, got both")
    for name in ("size", "crop", "channels", "classes"):
        if getattr(args, name) is not None:
            raise UsageError(f"--{name}: expected only --mean, --std, --preset or --layout with --io-dtype")
    given = _values({name: getattr(args, name) for name in NAMES if getattr(args, name) is not None})
    from intaglio.data.images import Preprocess
    from intaglio.data.pictures import PRESETS

    usual = PRESETS[given["preset"]] if "preset" in given else Preprocess(mean=(0.0,), std=(1.0,))
    return given.get("mean", usual.mean), given.get("std", usual.std), given.get("layout")


def print_note(data: Dataset) -> None:
    """Print that pictures are only scaled to 0..1 where nothing says how they are normalized."""
    from intaglio.data.preprocessing_note import assumed

    note = assumed(data)
    if note is not None:
        print(folded(note))


def _values(given: dict[str, str]) -> dict[str, Any]:
    parsers: dict[str, Callable[[str, str], Any]]
    parsers = {"size": _side, "crop": _side, "mean": _numbers, "std": _numbers}
    parsers |= dict.fromkeys(("preset", "layout", "channels"), _choice)
    return {name: parsers[name](name, text) if name in parsers else text for name, text in given.items()}


def _choice(name: str, text: str) -> str:
    from intaglio.data.pictures import PRESETS

    known = {"preset": tuple(PRESETS), "layout": ("NCHW", "NHWC"), "channels": ("RGB", "BGR")}[name]
    found = next((value for value in known if value.lower() == text.lower()), None)
    if found is None:
        raise UsageError(f"--{name}: expected {' or '.join(known)}, got {text!r}")
    return found


def _side(name: str, text: str) -> int | tuple[int, int]:
    try:
        sides = [int(part) for part in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise UsageError(f"--{name}: expected a size such as 224, or height,width such as 96,128, got {text!r}")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _numbers(name: str, text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--{name}: expected numbers such as 0.485,0.456,0.406, got {text!r}") from None
    if name == "std" and not min(numbers) > 0:
        raise UsageError(f"--std: expected numbers above 0, by which pixels are divided, got {text!r}")
    if name == "mean" and max(numbers) > 1:
        raise UsageError(
            f"--mean: expected numbers of 0 to 1, as pixels are scaled to 0..1 first, got {text!r}; divide --mean and "
            "--std by 255 if they are meant for pixels of 0 to 255"
        )
    return numbers
