"""Log a training: progress lines and TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from intaglio.errors import UsageError
from intaglio.evaluation.curve import Point

Tell = Callable[[str], None]


def line(point: Point, total: int, epochs: float, rate: float) -> str:
    """Format a point of the curve as one line.

    Args:
        point: the point.
        total: steps of the whole training.
        epochs: epochs of the whole training.
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
    """TensorBoard log of a training.

    Args:
        folder: folder of the logs.
        step: first step of this run; logged points of an interrupted run after it are discarded.
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
            raise UsageError(
                f"{folder}: expected a folder for logs that can be written, got: {error.strerror or error}; choose "
                "another folder"
            ) from None

    def add(self, point: Point) -> None:
        """Log a point."""
        self._writer.add_scalar("loss", point.loss, point.step)
        self._writer.add_scalar("learning rate", point.lr, point.step)
        if point.score is not None:
            self._writer.add_scalar(point.scored, point.score, point.step)

    def close(self) -> None:
        """Flush and close the log."""
        self._writer.close()
