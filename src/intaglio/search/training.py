"""Training stage of the recipe search: quantization-aware training for a fixed number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.files import text_fingerprint
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.quantized import Quantized
from intaglio.targets import Target
from intaglio.train.distill import block_ends
from intaglio.train.freeze import freeze_graph
from intaglio.train.insert_batch_norm import begin
from intaglio.train.loop import RunOptions, TrainSettings, train
from intaglio.train.loop.losses import check_loss_settings, classes_of
from intaglio.train.loop.training_samples import hold_back
from intaglio.train.loop.user_loss import UserLoss
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule

STAGE = "training"
REVIVED_ON = 512  # samples for the statistics of newly inserted batch norms
EPOCHS = 2.0
CHECKPOINT = "training.pt"
FEATURES = 5.0
"""Weight of the feature loss for image networks; measured in docs/which-method.md."""


def stage_settings(epochs: float | None = None, steps: int | None = None) -> TrainSettings:
    """Return the stage's training settings: defaults, with distillation from the float network."""
    return TrainSettings(epochs=EPOCHS if epochs is None else epochs, steps=steps, distill=0.5)


@dataclass(frozen=True)
class Training:
    """Network, data and settings of the training stage.

    Args:
        raw: the network before any pass, so that batch norms are not folded; or as it was given.
        data: labelled samples, matched to the network.
        settings: training settings.
        method: quantizer, see `prepare_qat`.
        loss: a user's loss in place of cross-entropy.
    Raises:
        UsageError: without such a loss, the network is not a classifier, or the data can be read only once.
    """

    raw: Graph
    data: Dataset
    settings: TrainSettings
    method: str = "lsq"
    loss: UserLoss | None = None

    def __post_init__(self) -> None:
        check_loss_settings(self.settings, self.loss)
        if self.loss is None:
            classes_of(self.raw, self.settings)
        if self.data.once:
            raise UsageError(
                f"{self.data.name}: training reads samples in random order, which an iterator cannot give; cache it"
            )

    @property
    def name(self) -> str:
        """Name of the attempt."""
        learned, _ = hold_back(self.data)
        steps = f"{self.settings.total_steps(len(learned))} steps on {Path(self.data.name).name}"
        own = "" if self.loss is None else f"loss {self.loss.name} {text_fingerprint(self.loss.fingerprint)[:6]}, "
        return f"{self.method}, {own}{steps}"

    @property
    def note(self) -> str:
        """Why the batch is smaller than the default; empty if it is not."""
        learned, _ = hold_back(self.data)
        return self.settings.batch_note(len(learned))

    def quantized(self, target: Target, plan: Plan, layers: Mapping[str, str], folder: Path | None) -> Quantized:
        """Train the network and freeze it.

        Args:
            target: the hardware target.
            plan: calibrated Plan with the initial scales.
            layers: other formats for some layers, by pattern.
            folder: folder of the checkpoint: an interrupted training resumes, a finished one is only read.
        Raises:
            TrainingError: the training diverged.
            DataError, UsageError: the data or the checkpoint do not fit.
        """
        begun = partial(prepare_qat, target=target, method=self.method, plan=plan, layers=layers)
        module, revived = begin(begun, self.raw, self.data.limit(REVIVED_ON))
        settings = self.settings
        if settings.distill and block_ends(module.graph):
            settings = replace(settings, distill_features=FEATURES)
        if module.narrowest >= 8:  # at 8 bits little has to be learned, and batch-norm statistics need not change
            settings = replace(settings, freeze_batch_norm=0.0)
        path = None if folder is None else folder / CHECKPOINT
        learned, held = hold_back(self.data)
        result = train(
            module,
            learned,
            settings,
            loss=None if self.loss is None else self.loss.function,
            held_back=held,
            teacher=FloatModule(module.graph) if settings.distill else None,
            run_options=RunOptions(path, resume=path is not None and path.exists()),
            described={"method": self.method},
        )
        graph, frozen = freeze_graph(module.cpu())
        steps = [Step("graph", sentence) for sentence in self.raw.history]
        steps += revived
        steps.append(Step(STAGE, "; ".join(filter(None, (result.sentence(), f"method {self.method}", self.note)))))
        return Quantized(graph, frozen, steps, module.graph, reference=graph)
