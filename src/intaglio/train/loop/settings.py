"""How a training runs: everything that its result depends on, besides the network and the data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from intaglio.errors import UsageError
from intaglio.train.gradual import Gradual

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("float32", "bf16")
AUGMENTATIONS = ("crop", "flip")
_PARTS = ("final_lr", "warmup", "distill", "label_smoothing", "momentum", "freeze_batch_norm", "freeze_ranges")


@dataclass(frozen=True)
class TrainSettings:
    """Choices of a training; the defaults are for going on from a trained float network.

    Args:
        epochs: passes over the data; parts of one are allowed.
        steps: optimizer steps instead of epochs.
        batch: samples per step, over all processes together.
        optimizer: a name of `OPTIMIZERS`: SGD with Nesterov momentum, or AdamW.
        lr: the largest learning rate; None: see `learning_rate`.
        final_lr: where cosine annealing ends, as a part of the largest.
        warmup: part of the steps over which the learning rate rises from 0.
        momentum: of SGD.
        weight_decay: of weights; never of biases, batch norms or quantizers.
        quantizer_lr: learning rate of the quantizers' parameters, as a multiple.
        label_smoothing: part of each label that is spread over all classes.
        augment: names of `AUGMENTATIONS`, done to each batch of images.
        pad: pixels around an image that crops may reach into; 0 there is what the network sees as 0.
        precision: of products and activations: a name of `PRECISIONS`.
        channels_last: keep images with the channels innermost in memory, which convolutions on CPUs run fastest on.
        compile: let torch.compile fuse forward and backward pass; a minute or more before the first step, faster
            steps from then on. It needs a C++ compiler; results differ as those of other machines do.
        freeze_batch_norm: part of the training after which batch norms use running statistics; None: never.
        freeze_ranges: part after which observed ranges stay as they are; None: never.
        gradual: how quantization comes little by little: a kind of `train.gradual.Gradual`; None: all at once.
        gradual_end: part of the training at whose end all of it is there.
        reestimate: batches on which batch-norm statistics are taken anew in the end; kept where that measures better.
        distill: weight of the teacher's loss, the labels' is one minus it; 1 needs no labels (see `imitates`).
        temperature: of the teacher's scores.
        distill_features: weight of the distance from the teacher's features in which blocks end, added to the loss; it
            makes trainings at two bits and fewer many times shorter.
        seed: of everything random.
    Raises:
        UsageError: a value that cannot be meant.
    Source: Wu et al. 2020, arXiv:2004.09602, section 5 (a tenth of the original schedule, from a hundredth of its
        learning rate, cosine annealing to a hundredth of that).
    """

    epochs: float = 5.0
    steps: int | None = None
    batch: int = 128
    optimizer: str = "sgd"
    lr: float | None = None
    final_lr: float = 0.01
    warmup: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    quantizer_lr: float = 0.1
    label_smoothing: float = 0.0
    augment: tuple[str, ...] = ()
    pad: int = 4
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False
    freeze_batch_norm: float | None = None
    freeze_ranges: float | None = None
    gradual: str | None = None
    gradual_end: float = 0.5
    reestimate: int = 0
    distill: float = 0.0
    temperature: float = 4.0
    distill_features: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        _among("optimizer", self.optimizer, OPTIMIZERS)
        _among("precision", self.precision, PRECISIONS)
        for name in self.augment:
            _among("augment", name, AUGMENTATIONS)
        self.gradually()
        if self.compile and self.gradual is not None:
            raise UsageError(
                f"compile: expected no gradual quantization, which needs other code at each change, got "
                f"{self.gradual!r}; leave one of them out"
            )
        for name in ("epochs", "lr", "quantizer_lr", "temperature"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{_option(name)}: expected a number above 0, got {value}")
        for name in ("steps", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{_option(name)}: expected at least 1, got {value}")
        for name in ("weight_decay", "pad", "reestimate", "seed", "distill_features"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise UsageError(f"{_option(name)}: expected 0 or more, got {getattr(self, name)}")
        for name in _PARTS:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{_option(name)}: expected a number from 0 to 1, got {value}")

    @property
    def imitates(self) -> bool:
        """Whether the teacher alone is learned from: data without labels do, and networks without classes too."""
        return self.distill == 1

    def gradually(self) -> Gradual | None:
        """How much is rounded over the training; None: everything from the beginning."""
        return None if self.gradual is None else Gradual(self.gradual, end=self.gradual_end)  # type: ignore[arg-type]

    def learning_rate(self, bits: int) -> float:
        """The largest learning rate: as given, or for a network whose narrowest format has so many bits.

        Nearly nothing has to be learned again at eight bits; below them codes have to move.
        """
        if self.lr is not None:
            return self.lr
        if self.optimizer == "adamw":
            return 1e-4 if bits >= 8 else 1e-3
        return 1e-3 if bits >= 8 else 1e-2

    def total_steps(self, samples: int) -> int:
        """Steps of the whole training on so many samples.

        Raises:
            UsageError: a batch is more than all of them.
        """
        return self.steps or max(1, round(self.epochs * self.steps_per_epoch(samples)))

    def steps_per_epoch(self, samples: int) -> int:
        """Whole batches in one pass; samples that fill none wait for another order.

        Raises:
            UsageError: a batch is more than all samples.
        """
        if self.batch > samples:
            raise UsageError(
                f"batch: expected at most {samples} samples per step (there are no more), got {self.batch}"
            )
        return samples // self.batch

    def to_json(self) -> dict[str, Any]:
        """As plain data, by names for people."""
        return {name.replace("_", " "): list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _option(name: str) -> str:
    return name.replace("_", "-")


def _among(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name}: expected {' or '.join(choices)}, got {value!r}")
