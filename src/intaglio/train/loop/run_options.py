"""Options of a training that do not change its result, and the result itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from intaglio.errors import UsageError
from intaglio.evaluation.curve import Point
from intaglio.simulate.simulator import default_device
from intaglio.train.loop.logging import Tell
from intaglio.train.loop.training_samples import CACHE_BYTES


@dataclass(frozen=True)
class RunOptions:
    """Checkpoints, logs, memory and device of a training; none of these changes the result.

    Args:
        path: checkpoint file; None: no checkpoints.
        resume: resume from the checkpoint.
        minutes, steps: interval between checkpoints, whichever comes first; each evaluation writes one too.
        tell: called with a progress line at each evaluation and every `lines` steps.
        lines: steps between two progress lines.
        tensorboard: folder for TensorBoard logs.
        cache: bytes of decoded samples kept in memory.
        workers: processes that load other samples in the background.
        device: default: the GPU if there is one.
    """

    path: Path | None = None
    resume: bool = False
    minutes: float = 5.0
    steps: int | None = None
    tell: Tell | None = None
    lines: int = 50
    tensorboard: Path | None = None
    cache: int = CACHE_BYTES
    workers: int = 0
    device: torch.device | str | None = None

    def found_device(self) -> torch.device:
        """Return the chosen device; default: the GPU if there is one.

        Raises:
            UsageError: the device does not exist.
        """
        if self.device is None:
            return default_device()
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # PyTorch raises these without such a device or driver
            got = f"{self.device} ({str(error).splitlines()[0]})"
            raise UsageError(f"device: expected cpu or an existing GPU such as cuda:0, got {got}") from None
        return torch.device(self.device)


@dataclass(frozen=True)
class TrainResult:
    """Result of `train`; the module itself has the parameters of the best evaluation.

    Args:
        curve: loss, learning rate and score over the steps.
        best: point whose parameters were kept.
        steps: optimizer steps of the whole training.
        samples: number of training samples.
        seconds: seconds of training, summed over all runs.
        reestimated: score before and after batch-norm re-estimation; None without it.
        higher_is_better: whether larger scores are better.
        batch: batch size; None: that of a loader.
    """

    curve: tuple[Point, ...]
    best: Point
    steps: int
    samples: int
    seconds: float
    reestimated: tuple[float, float] | None = None
    higher_is_better: bool = True
    batch: int | None = None

    def sentence(self) -> str:
        """Describe the training in one sentence."""
        score = "" if self.best.score is None else f", {self.best.scored} {self.best.score:.2f}"
        text = f"trained {self.steps} steps on {self.samples} samples; kept the network of step {self.best.step}{score}"
        if self.reestimated is not None:
            before, after = self.reestimated
            kept = "kept" if after == before or (after > before) is self.higher_is_better else "not kept"
            text += f"; batch-norm statistics re-estimated: {before:.2f} to {after:.2f}, {kept}"
        return text
