"""Gradual quantization, and freezing of ranges and batch norms at points of a training.

    gradual, schedule = Gradual("noise", end=0.3), Schedule(freeze_ranges=0.5, freeze_batch_norm=0.8)
    for step in range(steps):
        progress = step / steps
        gradual.apply(qat, progress)
        schedule.apply(qat, progress)
        ...
        optimizer.step()
        qat.after_step(progress)

Both depend only on `progress` (and on fixed codes, which are in the `state_dict`), so a training resumes exactly from a
checkpoint. Evaluation always quantizes everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from intaglio.errors import UsageError
from intaglio.train.module import QuantizedModule, quantizer_key
from intaglio.train.quantizers.quantizer import Quantizer

Kind = Literal["weights", "noise", "layers"]

FRACTIONS = (0.5, 0.75, 0.875, 1.0)
"""Fractions of the weights whose codes are fixed, one after the other, as in the paper's experiments."""


@dataclass(frozen=True)
class Gradual:
    """Gradual quantization, from nothing at `start` to everything at `end`.

    - `weights`: the largest half of each weight tensor is rounded and its codes are fixed, the rest stays real and goes
      on training; then 3/4, 7/8, all, in equal parts of the time. Scales are still learned; activations are quantized
      from the start.
    - `noise`: y = x + f (rounded x - x) for everything, f grows from 0 to 1.
    - `layers`: the first k of n quantizers round, in the order of the network; k grows from 0 to n.

    Args:
        kind: `weights`, `noise` or `layers`.
        start, end: as fractions of the training.
    Raises:
        UsageError: unknown kind, or not 0 <= start < end <= 1.
    Source: Zhou et al. 2017, arXiv:1702.03044 (incremental network quantization: weights), section 2; Baskin et al.
        2018, arXiv:1804.10969 (layer by layer).
    """

    kind: Kind
    start: float = 0.0
    end: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"gradual: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if not 0 <= self.start < self.end <= 1:
            raise UsageError(f"gradual: expected 0 <= start < end <= 1, got {self.start:g} and {self.end:g}")

    def apply(self, module: QuantizedModule, progress: float) -> None:
        """Set how much is quantized from now on; cheap if nothing changes.

        Args:
            module: the module in training.
            progress: fraction of the training that is done, 0 to 1.
        """
        done = min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0)
        match self.kind:
            case "noise":
                for quantizer in _in_order(module):
                    quantizer.amount = done
            case "layers":
                quantizers = list(_in_order(module))
                for place, quantizer in enumerate(quantizers):
                    quantizer.amount = 1.0 if place < round(done * len(quantizers)) else 0.0
            case "weights":
                _hold(module, progress >= self.start, done)


def _hold(module: QuantizedModule, begun: bool, done: float) -> None:
    """Fix the codes of a part of each weight, and leave the rest real."""
    part = FRACTIONS[min(int(done * len(FRACTIONS)), len(FRACTIONS) - 1)] if begun else 0.0
    for name in module.weight_names():
        quantizer = module.quantizer(name)
        quantizer.amount = 1.0 if done == 1 else 0.0
        if bool(part) and quantizer.held_part < part and bool(quantizer.begun):
            quantizer.hold(module.seen_weight(name)[0], part)


def _in_order(module: QuantizedModule) -> Iterator[Quantizer]:
    """Yield every quantizer once, in the order of the network."""
    names = [str(v.name) for v in module.graph.inputs]
    for node in module.graph.nodes:
        names += [str(v.name) for v in (*node.inputs, *node.outputs) if v is not None and v.name]
    found: dict[str, Quantizer] = {}
    for name in names:
        if name in module.plan.values:
            key = quantizer_key(module.plan.root(name).name)
            if key in module.quantizers and key not in found:
                found[key] = module.quantizer(module.plan.root(name).name)
    yield from found.values()


@dataclass(frozen=True)
class Schedule:
    """When to freeze observed ranges and batch norms, as fractions of the training; None: never.

    Args:
        freeze_ranges: from here on observed ranges are fixed.
        freeze_batch_norm: from here on batch norms use their running statistics.
    Raises:
        UsageError: a fraction outside 0 to 1.
    """

    freeze_ranges: float | None = None
    freeze_batch_norm: float | None = None

    def __post_init__(self) -> None:
        for name, part in (("freeze_ranges", self.freeze_ranges), ("freeze_batch_norm", self.freeze_batch_norm)):
            if part is not None and not 0 <= part <= 1:
                raise UsageError(f"{name}: expected a fraction of the training, 0 to 1, got {part:g}")

    def apply(self, module: QuantizedModule, progress: float) -> None:
        """Freeze what is due at this progress."""
        if self.freeze_ranges is not None and progress >= self.freeze_ranges:
            module.freeze_ranges()
        if self.freeze_batch_norm is not None and progress >= self.freeze_batch_norm:
            module.freeze_batch_norm()
