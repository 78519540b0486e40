"""Training loss: cross-entropy with labels, distillation from a teacher, feature distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.samples import sample_shape
from intaglio.train.distill import block_ends, capture, distillation, feature_loss
from intaglio.train.loop.settings import TrainSettings
from intaglio.train.loop.user_loss import UserLoss
from intaglio.train.module import QuantizedModule
from intaglio.train.teacher import FloatModule

Teacher = Callable[..., Any]
"""Function from the network's inputs to its outputs: class scores (N, classes), or other outputs."""
_LEAST = 1e-6  # keeps the logarithm of a teacher's probabilities finite


def classes_of(graph: Graph, settings: TrainSettings) -> int | None:
    """Return the number of classes of a network; None if it is not a classifier and only imitates its teacher.

    Raises:
        UsageError: the first output is not one score per class, although labels are used.
    """
    size = sample_shape(shape(graph.outputs[0]), batched=graph.batched)
    if len(size) == 1 and size[0] > 1 and (len(graph.outputs) == 1 or not settings.imitates):
        return size[0]
    if settings.imitates:
        return None
    raise UsageError(
        f"output '{graph.outputs[0].name}': expected scores of classes, shape (N, classes), got "
        f"({', '.join(map(str, ('N', *size)))}); let the "
        "network imitate the float one instead (--teacher float --distill 1), or give a loss of your own (--loss)"
    )


def check_loss_settings(settings: TrainSettings, own: UserLoss | None) -> None:
    """Refuse settings that have no effect beside a user's loss.

    Raises:
        UsageError: distillation alone, or label smoothing.
    """
    if own is None:
        return
    if settings.imitates:
        raise UsageError(
            f"loss {own.name}: expected a weight of distillation below 1 beside a loss, got {settings.distill:g}; "
            "lower it, or leave out the loss"
        )
    if settings.label_smoothing:
        raise UsageError(f"loss {own.name}: expected no label smoothing, which is the loss's, got it; leave it out")


class Loss:
    """Loss of a training: cross-entropy, distillation and feature distance.

        L = (1 - d) * cross-entropy + d * distillation + f * distance of the features at block ends

    A user's loss takes the place of cross-entropy; the network need not be a classifier then.

    For a network that is not a classifier (d = 1, or a user's loss), the squared distance of all outputs divided by
    their variance takes the place of distillation.

    If the network ends with a softmax, its input is used as scores: quantized probabilities are often 0 or 1 and have
    hardly any gradient.

    Args:
        settings: `label_smoothing`, `distill` (d), `temperature`, `distill_features` (f).
        module: the trained network.
        teacher: needed if d or f is not 0; for features a `FloatModule` of the same Graph.
        own: the user's loss.
    Raises:
        UsageError: a user's loss beside d = 1 or label smoothing; distillation without a teacher, or a teacher without
            distillation; features of another network; labels for a network that is not a classifier.
    """

    def __init__(
        self,
        settings: TrainSettings,
        module: QuantizedModule,
        teacher: Teacher | None = None,
        own: UserLoss | None = None,
    ) -> None:
        check_loss_settings(settings, own)
        graph, weights = module.graph, (settings.distill, settings.distill_features)
        if (teacher is None) != (not any(weights)):
            got = "a teacher and no weight" if teacher else f"weights of {weights[0]} and {weights[1]} and no teacher"
            raise UsageError(
                f"distill: expected a teacher and the weight of its loss, got {got}; give both (--teacher), or neither"
            )
        self.settings, self.module, self.teacher, self.own = settings, module, teacher, own
        self.classes = None if own is not None else classes_of(graph, settings)
        self._logits = _before_softmax(module), _before_softmax(teacher)
        self._seen: tuple[dict[str, Tensor], dict[str, Tensor]] = {}, {}
        self.blocks = block_ends(graph) if settings.distill_features else []
        if self.blocks and not (isinstance(teacher, FloatModule) and set(self.blocks) <= teacher.graph.values().keys()):
            raise UsageError(
                "distill-features: expected the float network itself as teacher, got another network; "
                "use --teacher float, or distill only scores"
            )
        if settings.distill_features and not self.blocks:
            raise UsageError(
                "distill-features: expected an image network, with values (N, C, positions ...), got none of these; "
                "distill only scores"
            )

    def labelled(self, outputs: Any, labels: Any) -> Tensor:
        """Return the part of the loss that depends on labels: the user's, or cross-entropy."""
        if self.own is not None:
            return self.own(as_tuple(outputs), labels)
        return F.cross_entropy(self._scores(0, outputs), labels, label_smoothing=self.settings.label_smoothing)

    def __call__(self, outputs: Any, labels: Any, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the loss of a batch. Call it inside `watching`.

        Args:
            outputs: outputs of the network, one tensor or a tuple.
            labels: (N,), or targets of any kind for a user's loss; None if only the teacher is imitated.
            inputs: inputs of the batch, for the teacher.
        """
        settings, parts = self.settings, []
        if not settings.imitates:
            assert labels is not None
            loss = self.labelled(outputs, labels)
            parts.append((1 - settings.distill) * loss)
        if self.teacher is not None:
            wanted = self.teacher(*inputs)
            if settings.distill:
                parts.append(settings.distill * self._distance(outputs, wanted))
            if self.blocks:
                mine, theirs = ({name: seen[name].float() for name in self.blocks} for seen in self._seen)
                parts.append(settings.distill_features * feature_loss(mine, theirs))
        for seen in self._seen:
            seen.clear()  # free memory: the loss holds what its backward pass needs
        return torch.stack(parts).sum()

    def _scores(self, who: int, outputs: Any) -> Tensor:
        """Return the scores before softmax, float32, of the module (0) or its teacher (1)."""
        name = self._logits[who]
        if name:
            return self._seen[who][name].float()
        y: Tensor = as_tuple(outputs)[0].float()
        if self.classes is not None:
            y = y.reshape(-1, self.classes)  # a network that is not batched returns no batch axis for one sample
        # A teacher that is not a Graph returns probabilities if the network does.
        return (y + _LEAST).log() if name is None and self._logits[0] else y

    def _distance(self, outputs: Any, wanted: Any) -> Tensor:
        if self.classes is not None:
            return distillation(self._scores(0, outputs), self._scores(1, wanted), self.settings.temperature)
        mine, theirs = as_tuple(outputs), as_tuple(wanted)
        errors = [(a.float() - b.float()).square().mean() / spread(b) for a, b in zip(mine, theirs, strict=True)]
        return torch.stack(errors).mean()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record scores and features of both networks while they run."""
        with ExitStack() as stack:
            seen: list[dict[str, Tensor]] = []
            for network, logits in zip((self.module, self.teacher), self._logits, strict=True):
                names = [*self.blocks, *([logits] if logits else [])]
                watched = bool(names) and isinstance(network, torch.nn.Module)
                seen.append(stack.enter_context(capture(network, names)) if watched else {})  # type: ignore[arg-type]
            self._seen = seen[0], seen[1]
            yield


def _before_softmax(network: Any) -> str | None:
    """Return the input name of a network's final softmax; empty without one, None if the network is not a Graph's."""
    if not isinstance(network, (QuantizedModule, FloatModule)):
        return None
    node = network.graph.outputs[0].producer()
    return str(node.inputs[0].name) if node is not None and node.op_type == "Softmax" else ""  # type: ignore[union-attr]


def as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    """Return outputs as a tuple, also if there is only one."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def spread(x: Tensor) -> Tensor:
    """Return the variance over all elements, at least 1e-12; scalar."""
    return x.detach().float().var(correction=0).clamp(min=1e-12)
