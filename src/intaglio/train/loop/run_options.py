"""What a training is told besides its settings, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from intaglio.errors import UsageError
from intaglio.simulate.simulator import default_device
from intaglio.train.loop.curve import Point
from intaglio.train.loop.logging import Tell
from intaglio.train.loop.training_samples import CACHE_BYTES


@dataclass(frozen=True)
class RunOptions:
    """Where a training keeps its state, and what it says; nothing of it changes the result.

    Args:
        path: of the checkpoint; None: nowhere.
        resume: go on from it.
        minutes, steps: between two checkpoints, whichever comes first; one is also written after each evaluation.
        tell: called with a line of text at each evaluation and every `lines` steps.
        lines: steps between two lines.
        tensorboard: folder of logs for TensorBoard.
        cache: bytes of decoded samples that are held in memory.
        workers: processes that read the samples beyond those.
        device: default: the GPU when there is one.
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
        """The device that is named; by default the GPU when there is one.

        Raises:
            UsageError: it is not there.
        """
        if self.device is None:
            return default_device()
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # what PyTorch raises where there is no such device or driver
            got = f"{self.device} ({str(error).splitlines()[0]})"
            raise UsageError(f"device: expected cpu, or a GPU that is there such as cuda:0, got {got}") from None
        return torch.device(self.device)


@dataclass(frozen=True)
class TrainResult:
    """What `train` returns; the module itself has the parameters of the best evaluation.

    Args:
        curve: loss, learning rate and accuracy over the steps.
        best: the point whose parameters were kept.
        steps: optimizer steps of the whole training.
        samples: that it learned from.
        seconds: of training, all runs together.
        reestimated: score before and after batch-norm statistics were taken anew; None where they were not.
    """

    curve: tuple[Point, ...]
    best: Point
    steps: int
    samples: int
    seconds: float
    reestimated: tuple[float, float] | None = None

    def sentence(self) -> str:
        """What was done, in one sentence."""
        score = "" if self.best.score is None else f", {self.best.scored} {self.best.score:.2f}"
        text = f"trained {self.steps} steps on {self.samples} samples; kept the network of step {self.best.step}{score}"
        if self.reestimated is not None:
            before, after = self.reestimated
            kept = "kept" if after >= before else "not kept"
            text += f"; batch-norm statistics taken anew: {before:.2f} to {after:.2f}, {kept}"
        return text
