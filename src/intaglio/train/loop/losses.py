"""The loss of a training: labels, smoothed or not, and a teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.train.distill import block_ends, capture, distillation, feature_loss
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.module import QuantizedModule
from intaglio.train.teacher import FloatModule

Teacher = Callable[..., Tensor]
"""Inputs of the network to scores of its classes, (N, classes)."""
_LEAST = 1 / 512  # half a step of the grid on which targets fix probabilities


def classes_of(graph: Graph) -> int:
    """How many classes a network tells apart.

    Raises:
        UsageError: its first output is not one score per class.
    """
    size = shape(graph.outputs[0])
    if len(size) != 2 or size[1] < 2:
        raise UsageError(
            f"output '{graph.outputs[0].name}': expected scores of classes, shape (N, classes), got {size}; "
            "for other tasks call prepare_qat and write the loop"
        )
    return size[1]


class Loss:
    """Cross-entropy with the labels, and the distance from a teacher: of its scores, and of its features.

        L = (1 - d) * cross-entropy + d * distillation + f * distance of the features in which blocks end

    Args:
        settings: `label_smoothing`, `distill` (d), `temperature`, `distill_features` (f).
        module: whose outputs these are: those of a Softmax or LogSoftmax are read as such.
        teacher: needed where d or f is not 0; for features a `FloatModule` with the module's own values.
    Raises:
        UsageError: distillation without a teacher, or a teacher without distillation; features of another network.
    """

    def __init__(self, settings: TrainSettings, module: QuantizedModule, teacher: Teacher | None = None) -> None:
        graph, weights = module.graph, (settings.distill, settings.distill_features)
        if (teacher is None) != (not any(weights)):
            got = "a teacher and no weight" if teacher else f"weights of {weights[0]} and {weights[1]} and no teacher"
            raise UsageError(
                f"distill: expected a teacher and the weight of its loss, got {got}; give both (--teacher), or neither"
            )
        self.settings, self.module, self.teacher = settings, module, teacher
        node = graph.outputs[0].producer()
        self.probabilities = node is not None and node.op_type == "Softmax"
        self.blocks = block_ends(graph) if settings.distill_features else []
        if self.blocks and not (isinstance(teacher, FloatModule) and set(self.blocks) <= teacher.graph.values().keys()):
            raise UsageError(
                "distill-features: expected a teacher that has the network's own values, got another network; "
                "take --teacher float, or distill its scores only"
            )
        if settings.distill_features and not self.blocks:
            raise UsageError(
                "distill-features: expected a network of images, whose features can be compared, got none with values "
                "(N, C, positions ...); distill scores only"
            )

    def scores(self, y: Tensor) -> Tensor:
        """Outputs as scores before softmax, float32."""
        y = y.float()
        return (y + _LEAST).log() if self.probabilities else y

    def __call__(self, y: Tensor, labels: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """The loss of a batch: y the network's output (N, classes), labels (N,). Call it inside `watching`."""
        scores = self.scores(y)
        share = self.settings.distill
        loss = F.cross_entropy(scores, labels, label_smoothing=self.settings.label_smoothing)
        if self.teacher is None:
            return loss
        theirs = self.scores(self.teacher(*inputs))
        if share:
            loss = (1 - share) * loss + share * distillation(scores, theirs, self.settings.temperature)
        if self.blocks:
            mine, wanted = ({n: x.float() for n, x in seen.items()} for seen in self.features)
            loss = loss + self.settings.distill_features * feature_loss(mine, wanted)
            for seen in self.features:
                seen.clear()  # the loss keeps what it needs; nothing else of the batch has to stay
        return loss

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Takes note of the features of both networks as they run, where they are compared."""
        with ExitStack() as stack:
            if self.blocks:
                assert isinstance(self.teacher, FloatModule)
                self.features = tuple(stack.enter_context(capture(m, self.blocks)) for m in (self.module, self.teacher))
            yield
