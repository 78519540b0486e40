"""Training checkpoint: written atomically, loaded without running code, refused if settings differ."""

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
    """`Encoding` of plain data that contains tensors, in the format of `torch.save`."""

    def write(self, path: Path, contents: Contents) -> None:
        """Write the contents with `torch.save`."""
        try:
            torch.save(contents, path)
        except RuntimeError as error:  # torch.save reports a full disk like this
            raise OSError(str(error)) from error

    def read(self, path: Path) -> Contents:
        """Verify the checksums and read the contents without running code."""
        try:
            with zipfile.ZipFile(path) as archive:  # torch.load does not verify checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of its part {damaged} is wrong")
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # zipfile, pickle and PyTorch raise many kinds of errors for damaged files
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise UnreadableError(reason) from error


TRAINING = CheckpointKind("the checkpoint of a training", "intaglio-training", 1, Tensors())


@dataclass
class State:
    """State from which a training resumes.

    Args:
        step: number of the next step, from 0.
        module, optimizer: `state_dict`s.
        random: random states of PyTorch, NumPy and Python (see `random_state`).
        running: sums since the last point of the curve, and seconds so far.
        curve: points so far, as plain data.
        best: best evaluation so far: {"score", "step", "module"}; empty before the first one.
    """

    step: int
    module: dict[str, Any]
    optimizer: dict[str, Any]
    random: dict[str, Any]
    running: dict[str, Any]
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


def save(path: Path, belongs_to: Mapping[str, Any], state: State) -> None:
    """Write a checkpoint atomically: the previous one stays until the new one is complete.

    Raises:
        UsageError: it cannot be written.
    """
    Checkpoint(TRAINING, path, belongs_to).save({"state": dict(vars(state))})


def load(path: Path, belongs_to: Mapping[str, Any]) -> State:
    """Read a checkpoint of the same training.

    Raises:
        UsageError: there is no file; or see `files.Checkpoint`.
    """
    found = Checkpoint(TRAINING, path, belongs_to).load(lambda contents: State(**contents["state"]))
    if found is None:
        raise UsageError(f"{path}: expected the checkpoint of an interrupted training, got no file; leave out resume")
    return found


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Turn errors of restoring a state that does not fit the network into a UsageError.

    Raises:
        UsageError: parts are missing, or have other shapes or types than those of the module, optimizer or curve.
    """
    try:
        with readable():
            yield
    except (RuntimeError, UnreadableError) as error:  # from load_state_dict, and from plain data of wrong types
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"{path}: expected the state of a training of this network, got one that does not fit it ({reason}); use "
            "the network that it belongs to, or start again in another folder"
        ) from None


def begin_random(seed: int, *numbers: int) -> None:
    """Seed PyTorch, NumPy and Python, because quantizers may use any of them."""
    torch.manual_seed(seed_of(seed, GLOBAL, *numbers))
    np.random.seed(seed_of(seed, GLOBAL, *numbers) % (1 << 32))  # noqa: NPY002  the global generator
    random.seed(seed_of(seed, GLOBAL, *numbers))


def random_state() -> dict[str, Any]:
    """Return the random states of PyTorch, NumPy and Python, as tensors and plain numbers."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002  the global generator
    version, numbers, next_gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(numbers), next_gauss],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Restore the random states of a checkpoint."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, numbers, next_gauss = state["python"]
    random.setstate((version, tuple(numbers), next_gauss))
