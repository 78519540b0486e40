"""What a training says of itself: lines for people, and TensorBoard logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.errors import UsageError
from intaglio.train.loop.curve import Point

Tell = Callable[[str], None]


def line(point: Point, total: int, epochs: float, rate: float) -> str:
    """A point in one line.

    Args:
        point: of the curve.
        total: steps of the training.
        epochs: of the training.
        rate: steps per second.
    """
    score = "" if point.score is None else f", {point.scored} {point.score:.2f}"
    left = (total - point.step) / rate if rate > 0 else 0.0
    return (
        f"step {point.step} of {total} (epoch {point.epoch:.2f} of {epochs:.2f}): loss {point.loss:.4f}, "
        f"lr {point.lr:.3g}{score}, {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class TensorBoard:
    """Writes a training's points where TensorBoard reads them.

    Args:
        folder: of the logs.
        step: points of an interrupted run behind this step are passed over.
    Raises:
        UsageError: the package is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "tensorboard: expected the package tensorboard, which is not installed; pip install 'intaglio[train]'"
            ) from None
        try:
            self._writer: Any = SummaryWriter(str(folder), purge_step=step or None)
        except OSError as error:
            raise UsageError(f"{folder}: expected to write logs here, got: {error.strerror or error}") from None

    def add(self, point: Point) -> None:
        """Write a point."""
        self._writer.add_scalar("loss", point.loss, point.step)
        self._writer.add_scalar("learning rate", point.lr, point.step)
        if point.score is not None:
            self._writer.add_scalar(point.scored, point.score, point.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
