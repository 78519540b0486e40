"""Training settings: everything that the result depends on, besides the network and the data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from intaglio.errors import UsageError, check_number, check_whole
from intaglio.train.gradual import Gradual

OPTIMIZERS = ("sgd", "adamw")
PRECISIONS = ("float32", "bf16")
AUGMENTATIONS = ("crop", "flip")
BATCH = 128
"""Default batch size; fewer samples are one batch."""
_PARTS = ("final_lr", "warmup", "distill", "label_smoothing", "momentum", "freeze_batch_norm", "freeze_ranges")


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training; the defaults are for fine-tuning a trained float network.

    Args:
        epochs: passes over the data; fractions are allowed.
        steps: optimizer steps, instead of epochs.
        batch: batch size, summed over all processes; None: `BATCH`, or all samples where they are fewer.
        optimizer: a name of `OPTIMIZERS`: SGD with Nesterov momentum, or AdamW.
        lr: peak learning rate; None: see `learning_rate`.
        final_lr: final learning rate of the cosine schedule, as a fraction of the peak.
        warmup: fraction of the steps over which the learning rate rises from 0.
        momentum: momentum of SGD.
        weight_decay: weight decay of weights; never of biases, batch norms or quantizers.
        quantizer_lr: learning rate of quantizer parameters, as a multiple of that of weights.
        label_smoothing: fraction of each label spread over all classes.
        augment: names of `AUGMENTATIONS`, applied to each batch of images.
        pad: padding of random crops in pixels, with the input value 0.
        precision: precision of products and activations: a name of `PRECISIONS`.
        channels_last: use PyTorch's channels-last memory layout, which is faster for convolutions on CPUs.
        compile: compile the training step with torch.compile. The first three steps take longer (17 s in all for
            ResNet-20 on two threads), later ones a quarter less time. Needs a C++ compiler; results differ slightly, as
            between machines.
        freeze_batch_norm: fraction of the training after which batch norms use running statistics; None: never.
        freeze_ranges: fraction of the training after which observed ranges are fixed; None: never.
        gradual: gradual quantization: a kind of `train.gradual.Gradual`; None: everything from the start.
        gradual_end: fraction of the training after which everything is quantized.
        reestimate: batches for re-estimating batch-norm statistics at the end; kept unless the score falls.
        distill: weight d of the distillation loss; labels have weight 1 - d; at 1 no labels are needed.
        temperature: softmax temperature of the distillation.
        distill_features: weight of the distance from the teacher's features at block ends, added to the loss; makes
            training at 1 and 2 bits many times shorter. Use 5; at 1 and 2 bits 10 for hundreds of steps, 3 to 5 for
            thousands.
        seed: seed of all random choices.
    Raises:
        UsageError: a value out of range.
    Source: Wu et al. 2020, arXiv:2004.09602, section 5 (a tenth of the original schedule, from a hundredth of its
        learning rate, cosine annealing to a hundredth of that).
    """

    epochs: float = 5.0
    steps: int | None = None
    batch: int | None = None
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
        for setting in fields(self):
            self._check_type(setting.name, str(setting.type))
        _among("optimizer", self.optimizer, OPTIMIZERS)
        _among("precision", self.precision, PRECISIONS)
        for name in self.augment:
            _among("augment", name, AUGMENTATIONS)
        self.gradually()
        if self.compile and self.gradual is not None:
            raise UsageError(
                f"compile: expected no gradual quantization, as each change would compile again, got "
                f"{self.gradual!r}; leave out one of them"
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

    def _check_type(self, name: str, kind: str) -> None:
        value = getattr(self, name)
        if value is not None and kind.startswith("int"):
            check_whole(_option(name), value)
        elif value is not None and kind.startswith("float"):
            check_number(_option(name), value)

    @property
    def imitates(self) -> bool:
        """Whether the loss is distillation only: labels are not needed, and the network need not be a classifier."""
        return self.distill == 1

    def gradually(self) -> Gradual | None:
        """Return the gradual quantization; None: everything from the start."""
        return None if self.gradual is None else Gradual(self.gradual, end=self.gradual_end)  # type: ignore[arg-type]

    def learning_rate(self, bits: int) -> float:
        """Return the peak learning rate: `lr`, or a default for a network whose narrowest format has `bits` bits.

        At 8 bits little has to be learned; with fewer bits codes have to change.
        """
        if self.lr is not None:
            return self.lr
        if self.optimizer == "adamw":
            return 1e-4 if bits >= 8 else 1e-3
        return 1e-3 if bits >= 8 else 1e-2

    def total_steps(self, samples: int) -> int:
        """Return the number of steps of the whole training.

        Raises:
            UsageError: the batch is larger than the number of samples.
        """
        return self.steps or max(1, round(self.epochs * self.steps_per_epoch(samples)))

    def steps_per_epoch(self, samples: int) -> int:
        """Return the number of whole batches in an epoch; remaining samples are left out, others in each epoch.

        Raises:
            UsageError: the batch is larger than the number of samples.
        """
        batch = self.batch_for(samples)
        if batch > samples:
            raise UsageError(f"batch: expected at most {samples}, the number of training samples, got {batch}")
        return samples // batch

    def batch_for(self, samples: int, processes: int = 1) -> int:
        """Return the batch size: `batch`, or the default that fits the samples and is a multiple of the processes."""
        if self.batch is not None:
            return self.batch
        return BATCH if samples >= BATCH else max(samples - samples % processes, 1)

    def batch_note(self, samples: int, processes: int = 1) -> str:
        """Say that the batch is smaller than the default, since there are few samples; empty if it is not."""
        batch = self.batch_for(samples, processes)
        if self.batch is not None or batch == BATCH:
            return ""
        return f"batch of {batch} instead of {BATCH}, as there are only {samples} training samples"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with spaces in the names."""
        return {name.replace("_", " "): list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _option(name: str) -> str:
    return name.replace("_", "-")


def _among(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name}: expected {' or '.join(choices)}, got {value!r}")
