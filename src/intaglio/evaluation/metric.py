"""A metric: one number that says how good a network's outputs are on labelled samples.

Outputs and targets arrive in batches. `Way` is how they become the number: most metrics keep a sum or one number for
each sample, so that memory stays bounded. `Collected` keeps the outputs of the whole data set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from intaglio.data.chunk import LabelForm

Array = NDArray[Any]
Outputs = tuple[Array, ...]
"""The network's outputs in its order, each (N, ...)."""
Targets = Any
"""An array (N, ...), or a list with one entry for each sample where entries are no arrays of one shape."""


class Way(Protocol):
    """How batches become a number. A state is plain data, so that processes can exchange it.

    Attributes:
        shares: whether the states of several processes, each with its part of the samples, can be joined.
    """

    shares: bool

    def begin(self) -> Any:
        """Return the state before the first batch."""

    def add(self, state: Any, outputs: Outputs, targets: Targets) -> Any:
        """Return the state after one more batch."""

    def join(self, states: Sequence[Any]) -> Any:
        """Return the state of all samples from those of consecutive parts."""

    def value(self, state: Any) -> float:
        """Compute the metric; NaN where it is undefined."""


@dataclass(frozen=True)
class SampleMean:
    """Mean of a number of each sample: `each(first output, targets)` returns (N,). Keeps 8 bytes a sample."""

    each: Callable[[Array, Targets], Array]
    shares = True

    def begin(self) -> list[Array]:
        return []

    def add(self, state: list[Array], outputs: Outputs, targets: Targets) -> list[Array]:
        state.append(self.each(outputs[0], targets))
        return state

    def join(self, states: Sequence[list[Array]]) -> list[Array]:
        return [np.concatenate([part for state in states for part in state])]

    def value(self, state: list[Array]) -> float:
        return float(np.concatenate(state).mean())


@dataclass(frozen=True)
class Counted:
    """A function of sums over all samples: `count(outputs, targets)` returns an array of sums, `finish` the number."""

    count: Callable[[Outputs, Targets], Array]
    finish: Callable[[Array], float]
    shares = True

    def begin(self) -> Array:
        return np.zeros(())

    def add(self, state: Array, outputs: Outputs, targets: Targets) -> Array:
        return np.asarray(state + self.count(outputs, targets))

    def join(self, states: Sequence[Array]) -> Array:
        return np.asarray(sum(states))

    def value(self, state: Array) -> float:
        return float(self.finish(state))


@dataclass(frozen=True)
class Collected:
    """A function of the whole data set: `keep(outputs, targets)` of every batch stays in memory.

    Args:
        finish: called with the kept items of all samples, each an array or a list.
        keep: items of a batch, each with an entry for every sample.
    """

    finish: Callable[..., float]
    keep: Callable[[Outputs, Targets], tuple[Any, ...]] = lambda outputs, targets: (*outputs, targets)
    shares = True

    def begin(self) -> list[tuple[Any, ...]]:
        return []

    def add(self, state: list[tuple[Any, ...]], outputs: Outputs, targets: Targets) -> list[tuple[Any, ...]]:
        state.append(self.keep(outputs, targets))
        return state

    def join(self, states: Sequence[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        return [item for state in states for item in state]

    def value(self, state: list[tuple[Any, ...]]) -> float:
        return float(self.finish(*(joined(parts) for parts in zip(*state, strict=True))))


@dataclass(frozen=True)
class Updated:
    """An object with `update(outputs, targets)`, `compute()` and perhaps `reset()`; every state is a copy of it.

    Args:
        made: the object.
        update: calls its `update`.
        compute: calls its `compute` and returns the number.
    """

    made: Any
    update: Callable[[Any, Outputs, Targets], None]
    compute: Callable[[Any], float]
    shares = False

    def begin(self) -> Any:
        state = deepcopy(self.made)
        if callable(getattr(state, "reset", None)):
            state.reset()
        return state

    def add(self, state: Any, outputs: Outputs, targets: Targets) -> Any:
        self.update(state, outputs, targets)
        return state

    def join(self, states: Sequence[Any]) -> Any:
        (state,) = states
        return state

    def value(self, state: Any) -> float:
        return self.compute(state)


@dataclass(frozen=True)
class Metric:
    """A metric.

    Args:
        name: its name in tables and files.
        way: how outputs and targets become a number.
        higher_is_better: whether larger values are better. If not, a rise is a loss.
        unit: unit of its values: "%", "dB" or none.
        labels: form of the labels: "classes": class indices, int64 (N,), so that predictions can be compared;
            "numbers": float32 (N, ...); "given": as they are in the data.
        relative: whether a loss is the change in percent of the float network's value, as for mse, which has no unit
            that people know. Otherwise it is a difference in the metric's own unit.
        chance: value of a network that guesses, from the number of classes; None: not known.
        identity: text that changes when the metric does; results of another identity are not resumed.
        named: for a metric that needs the names of classes: returns the metric for these names.
    """

    name: str
    way: Way
    higher_is_better: bool = True
    unit: str = ""
    labels: LabelForm = "given"
    relative: bool = False
    chance: Callable[[int], float] | None = None
    identity: str = ""
    named: Callable[[tuple[str, ...]], Metric] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.name

    @property
    def fingerprint(self) -> str:
        """Text that identifies the metric in files of unfinished runs."""
        if not self.identity:
            return self.name
        return f"{self.name} {'' if self.higher_is_better else 'lower is better '}{self.identity}"

    def loss(self, value: float, reference: float) -> float:
        """Return what a value has lost against the reference: a fall, or a rise where lower is better."""
        worse = reference - value if self.higher_is_better else value - reference
        return 100.0 * worse / max(abs(reference), 1e-30) if self.relative else worse

    def for_names(self, names: tuple[str, ...] | None) -> Metric:
        """Return the metric for a data set with these class names; None: not known."""
        return self if self.named is None or names is None else self.named(names)


def joined(parts: Sequence[Any]) -> Any:
    """Join arrays or lists of consecutive batches; a list where the arrays of samples differ in shape."""
    if all(isinstance(part, np.ndarray) for part in parts) and len({(p.shape[1:], p.dtype) for p in parts}) == 1:
        return np.concatenate(parts)
    return [row for part in parts for row in part]


def targets_of(labels: Array) -> Targets:
    """Return labels as metrics get them: an array of numbers, or a list."""
    return labels.tolist() if labels.dtype.kind in "OUS" else labels
