"""Run a network as a stream over data: each state takes, at each step, what its output gave at the step before.

Data without the states are either the steps of one stream, a sample each, or whole sequences, each a sample with an
axis of steps in front, which begin with the initial states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.data import Dataset, match
from intaglio.data.chunk import LabelForm
from intaglio.errors import DataError, UsageError
from intaglio.evaluation.stage import Show, Stage, inputs_of
from intaglio.samples import sample_shape

if TYPE_CHECKING:  # imports PyTorch
    from intaglio.processes import Processes

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


def holds_states(data: Dataset, inputs: Sequence[str], states: Mapping[str, str]) -> bool:
    """Return whether samples have an array for each input, states included: they are then independent of each other."""
    shape = data.input_shape
    return isinstance(shape, dict) and (any(name in shape for name in states) or len(shape) == len(inputs))


def match_stream(
    data: Dataset,
    shapes: Shapes,
    states: Mapping[str, str],
    *,
    need_labels: bool = False,
    targets: LabelForm | bool = False,
) -> Dataset:
    """Check data without states against a model's other inputs.

    Args:
        data: from `open_data`.
        shapes: shapes of the model's inputs by name.
        states: the output of each state by the name of its input.
        need_labels, targets: as for `data.match`.
    Raises:
        DataError: the data do not fit, neither as steps nor as sequences.
    """
    own = {name: _step_shape(shape) for name, shape in shapes.items() if name not in states}
    if not own:
        raise DataError(f"{data.name}: expected a network with an input that is no state, got states only")
    given = data.input_shape
    first = next(iter(given.values())) if isinstance(given, dict) else given
    steps = first[: len(first) - len(next(iter(own.values())))]
    if len(steps) > 1:
        steps = ()  # refused with the shape of a step
    wanted = {name: (1, *steps, *shape) for name, shape in own.items()}
    return match(data, wanted, need_labels=need_labels, targets=targets)


def is_stream(data: Dataset, states: Mapping[str, str]) -> bool:
    """Return whether data from `data_for` lack the states, so that a stream runs over them."""
    return bool(states) and data.shapes is not None and not set(states) & set(data.shapes)


def refuse_to_share(processes: Processes | None) -> None:
    """Refuse to share a stream, whose steps follow each other.

    Raises:
        UsageError: there are several processes.
    """
    if processes is not None and processes.world > 1:
        raise UsageError(f"states: expected one process, as steps follow each other, got {processes.world}")


class StreamStage:
    """A stage whose states go from step to step, in real numbers, which its own grids hold exactly.

    Args:
        stage: runs one step of any number of streams.
        outputs: its outputs' names, in order.
        states: the output of each state by the name of its input.
        initial: real values at the first step by the input's name; the others begin with 0.
    """

    def __init__(
        self,
        stage: Stage,
        outputs: Sequence[str],
        states: Mapping[str, str],
        initial: Mapping[str, Array] | None = None,
    ) -> None:
        self.engine = stage.engine
        self._stage, self._states, self._initial = stage, dict(states), dict(initial or {})
        self._outputs = tuple(outputs)
        self._all = dict(zip(stage.input_names, stage.input_shapes, strict=True))
        self.input_names = tuple(name for name in self._all if name not in states)
        self.input_shapes = tuple(self._all[name] for name in self.input_names)
        self._kept = self._begin(1)

    def run(self, *x: Array) -> tuple[Array, ...]:
        """Run steps of one stream, which the next call continues, or whole sequences.

        Args:
            x: for each input that is no state steps (T, ...), or sequences (N, T, ...).
        Returns:
            Outputs that are no states, (T, ...) or (N, T, ...).
        """
        kept = set(self._states.values())
        rows = [
            [y for name, y in zip(self._outputs, results, strict=True) if name not in kept]
            for _, results in self._steps(x)
        ]
        if self._sequences(x):
            return tuple(np.stack(column, axis=1) for column in zip(*rows, strict=True))
        return tuple(np.concatenate(column) for column in zip(*rows, strict=True))

    def taken(self, *x: Array) -> dict[str, Array]:
        """Run as `run`, and return what each input took, states included: a step of a stream in axis 0."""
        rows = [given for given, _ in self._steps(x)]
        return {name: np.concatenate([given[name] for given in rows]) for name in self._all}

    def trace(self, show: Show, *x: Array) -> None:
        """See `Stage.trace`; single steps from the initial states."""
        given = {**self._begin(len(x[0])), **dict(zip(self.input_names, x, strict=True))}
        self._stage.trace(show, *(given[name] for name in self._all))

    def _sequences(self, x: Sequence[Array]) -> bool:
        return x[0].ndim > len(_step_shape(self.input_shapes[0])) + 1

    def _steps(self, x: Sequence[Array]) -> Iterator[tuple[dict[str, Array], tuple[Array, ...]]]:
        """All that each step took, and what it gave."""
        if self._sequences(x):
            self._kept = self._begin(len(x[0]))
            steps = [[a[:, t] for a in x] for t in range(x[0].shape[1])]
        else:
            steps = [[a[t : t + 1] for a in x] for t in range(len(x[0]))]
        for step in steps:
            own = {**self._kept, **dict(zip(self.input_names, step, strict=True))}
            given = {name: own[name] for name in self._all}
            results = self._stage.run(*given.values())
            by_name = dict(zip(self._outputs, results, strict=True))
            for name, output in self._states.items():
                self._kept[name] = by_name[output].reshape(self._kept[name].shape)
            yield given, results

    def _begin(self, streams: int) -> dict[str, Array]:
        kept = {}
        for name in self._states:
            shape = _step_shape(self._all[name])
            value = np.reshape(self._initial[name], shape) if name in self._initial else np.float32(0)
            kept[name] = np.broadcast_to(value, (streams, *shape))
        return kept


def with_float_states(stage: StreamStage, data: Dataset, samples: int | None) -> dict[str, Array]:
    """Run a float network as a stream over data, and return what each of its inputs took, as calibration needs it.

    Args:
        stage: the float network.
        data: from `match_stream`.
        samples: most steps; None: all.
    Returns:
        Arrays by the input's name, a step in axis 0.
    """
    rows: list[dict[str, Array]] = []
    count = 0
    for x, _ in data.batches(1):
        rows.append(stage.taken(*inputs_of(x)))
        count += len(next(iter(rows[-1].values())))
        if samples is not None and count >= samples:
            break
    return {name: np.concatenate([row[name] for row in rows])[:samples] for name in rows[0]}


def _step_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return sample_shape(shape, batched=False)
