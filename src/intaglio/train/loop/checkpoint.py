"""The state of a training in a file: written whole, read without running code, refused where it does not belong."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intaglio.errors import UsageError
from intaglio.files import Checkpoint, CheckpointKind
from intaglio.files.encodings import Contents
from intaglio.files.reading import UnreadableError, readable
from intaglio.train.loop.lr_schedule import GLOBAL, seed_of


class Tensors:
    """An `Encoding` of plain data with tensors inside, as `torch.save` writes them."""

    def write(self, path: Path, contents: Contents) -> None:
        """See `Encoding`."""
        try:
            torch.save(contents, path)
        except RuntimeError as error:  # so it reports a full disk
            raise OSError(str(error)) from error

    def read(self, path: Path) -> Contents:
        """See `Encoding`."""
        try:
            with zipfile.ZipFile(path) as archive:  # torch.load looks at no checksum
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of its part {damaged} does not fit")
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # whatever a damaged zip, pickle or dict makes of the libraries that read it
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise UnreadableError(reason) from error


TRAINING = CheckpointKind("the checkpoint of a training", "intaglio-training", 1, Tensors())


@dataclass
class State:
    """What a training needs to go on.

    Args:
        step: the next one, from 0.
        module, optimizer: their `state_dict`s.
        random: of PyTorch, NumPy and Python (see `random_state`).
        running: sums since the last point of the curve, and seconds so far.
        curve: points so far, as plain data.
        best: the best of the evaluations: {"score", "step", "module"}; empty before the first.
    """

    step: int
    module: dict[str, Any]
    optimizer: dict[str, Any]
    random: dict[str, Any]
    running: dict[str, Any]
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


def save(path: Path, belongs_to: Mapping[str, Any], state: State) -> None:
    """Write a checkpoint; the one before stays until the new one is whole.

    Raises:
        UsageError: it cannot be written.
    """
    Checkpoint(TRAINING, path, belongs_to).save({"state": dict(vars(state))})


def load(path: Path, belongs_to: Mapping[str, Any]) -> State:
    """Read a checkpoint of the same training.

    Raises:
        UsageError: there is none; or see `files.Checkpoint`.
    """
    found = Checkpoint(TRAINING, path, belongs_to).load(lambda contents: State(**contents["state"]))
    if found is None:
        raise UsageError(
            f"{path}: expected the checkpoint of an interrupted training, got nothing there; leave out resume"
        )
    return found


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """A state that is whole but does not fit what is trained becomes one error.

    Raises:
        UsageError: parts are missing, or have other shapes or types than the module, the optimizer or the curve.
    """
    try:
        with readable():
            yield
    except (RuntimeError, UnreadableError) as error:  # what load_state_dict raises, and plain data of wrong types
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{path}: expected the state of a training of this network, got one that does not fit it ({reason}); go on "
            "with the network that it belongs to, or begin anew in another folder"
        ) from None


def begin_random(seed: int, *numbers: int) -> None:
    """Seed PyTorch, NumPy and Python: quantizers may draw from any of them."""
    torch.manual_seed(seed_of(seed, GLOBAL, *numbers))
    np.random.seed(seed_of(seed, GLOBAL, *numbers) % (1 << 32))  # noqa: NPY002  what other code may draw from
    random.seed(seed_of(seed, GLOBAL, *numbers))


def random_state() -> dict[str, Any]:
    """The random numbers to come, of PyTorch, NumPy and Python, as tensors and plain numbers."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002  what other code draws from
    version, numbers, next_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(numbers), next_gauss],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Go on with the random numbers of a checkpoint."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, numbers, next_gauss = state["python"]
    random.setstate((version, tuple(numbers), next_gauss))
