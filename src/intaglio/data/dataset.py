"""A stream of batches over any source: windows, conversion to float32, and the checks against the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from intaglio.data.checks import Float, arrange, check_labels, check_shape, check_uniform, sample_shapes, to_float
from intaglio.data.chunk import Chunk, as_labels, as_targets, join, rebatch
from intaglio.data.items import IterableSource
from intaglio.data.source import ArraySource, Source
from intaglio.errors import DataError, UsageError
from intaglio.samples import is_held_back

Inputs = Float | tuple[Float, ...] | dict[str, Float]
Labels = npt.NDArray[np.int64] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """Samples of a source in a fixed order, as often as they are wanted, never more than a batch in memory.

    Made by `open_data`, and by `match` once the model is known.

    Attributes:
        source: where the samples come from.
        start: first sample of the source.
        stop: the sample behind the last one; None: all.
        numbers: the samples of the source that it has, increasing, where these are no range.
        batch_size: of `batches()` without a number.
        shapes: sample shape by name of the model's input; None before `match`.
        classes: number of the model's classes; labels are held against it where it is known.
        targets: y holds real numbers that outputs are compared with, no class indices.
    """

    source: Source
    start: int = 0
    stop: int | None = None
    batch_size: int = 32
    shapes: Mapping[str, tuple[int, ...]] | None = None
    classes: int | None = None
    targets: bool = False
    numbers: npt.NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """What error texts call it."""
        return self.source.name

    @property
    def once(self) -> bool:
        """It comes from an iterator, so that a second pass is an error."""
        return self.source.once

    @property
    def length(self) -> int | None:
        """Number of samples, or None where only a full pass would tell."""
        if self.numbers is not None:
            return len(self.numbers)
        count = self.source.count(self.shapes)
        if count is None:
            return None
        return max(0, (count if self.stop is None else min(count, self.stop)) - self.start)

    def __len__(self) -> int:
        """Number of samples; TypeError where it is not known (see `length`)."""
        length = self.length
        if length is None:
            raise TypeError(f"{self.name}: the number of samples is not known before a full pass")
        return length

    def __bool__(self) -> bool:
        """True, so that a test for None written as `if data` never counts samples."""
        return True

    @property
    def labels(self) -> Labels | None:
        """All labels, int64 (n,), where they can be had without reading the samples; otherwise None."""
        labels = self.source.labels()
        which = slice(self.start, self.stop) if self.numbers is None else self.numbers
        return None if labels is None else labels[which]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the labels 0, 1, ..., where the source has them."""
        return self.source.class_names

    @property
    def input_shape(self) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """Shape of one sample, without the batch axis; by name where there are several inputs. Reads one sample."""
        first = self._first()
        shapes = [a.shape[1:] for a in first.x]
        if first.names is None and len(shapes) == 1:
            return shapes[0]
        names = first.names or [str(i) for i in range(len(shapes))]
        return dict(zip(names, shapes, strict=True))

    def peek(self) -> tuple[Inputs, Labels | None]:
        """The first sample, as `batches(1)` gives it; an iterator is not used up."""
        first = self._first()
        return self._given(self._checked(first, first, self._span()[0]))

    def limit(self, n: int | None) -> Dataset:
        """The first `n` samples; None: all of them."""
        if n is None:
            return self
        if n < 1:
            raise UsageError(f"{self.name}: the number of samples must be at least 1, got {n}")
        return self.part(0, n)

    def part(self, first: int, stop: int) -> Dataset:
        """Its samples from the number `first` up to `stop`, as many as there are."""
        if self.numbers is not None:
            return replace(self, numbers=self.numbers[first:stop])
        start, end = self.start + first, self.start + stop
        return replace(self, start=start, stop=end if self.stop is None else min(end, self.stop))

    def hold_back(self, count: int) -> tuple[Dataset, Dataset]:
        """Samples to learn from, and others spread evenly among them (see `samples.is_held_back`).

        Args:
            count: how many are held back.
        Raises:
            DataError: the source can be read only once, or does not know its length; or there are too few samples.
        """
        total = self.length
        if self.once or total is None:
            raise DataError(
                f"{self.name}: the samples of an iterator cannot be divided. Keep them in memory first, with cached()."
            )
        if not 0 < count < total:
            raise DataError(f"{self.name}: cannot hold back {count} of {total} samples; hold back fewer")
        held = is_held_back(np.arange(total), count, total)
        numbers = self.start + np.arange(total) if self.numbers is None else self.numbers
        return replace(self, numbers=numbers[~held]), replace(self, numbers=numbers[held])

    def cached(self) -> Dataset:
        """The same samples held in memory, all of them, so that an iterator can be read more than once."""
        whole = join(list(self._chunks()))
        source = ArraySource(self.name, whole.x, whole.y, whole.names)
        return Dataset(source, batch_size=self.batch_size, shapes=self.shapes, classes=self.classes)

    def batches(self, n: int | None = None) -> Iterator[tuple[Inputs, Labels | None]]:
        """Batches of `n` samples (default `batch_size`); the last one may be smaller.

        Yields:
            (x, y): x float32 (n, ...), a dict by input name where there are several inputs (a tuple where their names
            are not known yet); y int64 (n,), float32 (n, ...) of targets, or None without labels.

        Raises:
            DataError: no samples, one that does not fit the others or the model, or a second pass over an iterator.
        """
        n = self.batch_size if n is None else n
        if n < 1:
            raise UsageError(f"{self.name}: a batch must hold at least 1 sample, got {n}")
        for chunk in rebatch(self._chunks(), n):
            yield self._given(chunk)

    def __iter__(self) -> Iterator[tuple[Inputs, Labels | None]]:
        """Batches of `batch_size` samples."""
        return self.batches()

    def _given(self, chunk: Chunk) -> tuple[Inputs, Labels | None]:
        """A chunk as `batches` gives it."""
        if chunk.names is not None and (len(chunk.x) > 1 or self.shapes is None):
            return dict(zip(chunk.names, chunk.x, strict=True)), chunk.y
        return chunk.x if len(chunk.x) > 1 else chunk.x[0], chunk.y

    def _chunks(self) -> Iterator[Chunk]:
        """Chunks of the source, checked and converted."""
        start, stop = self._span()
        at, first = start, None
        for raw in self.source.chunks(start, stop, self.shapes):
            if first is None:
                first = raw
            chunk = self._checked(raw, first, at)
            if self.numbers is None:
                yield chunk
            else:
                mine = np.searchsorted(self.numbers, [at, at + chunk.size])
                rows = self.numbers[slice(*mine)] - at
                if len(rows):
                    yield chunk.take(rows)
            at += chunk.size
        if first is None:
            raise DataError(
                f"{self.name}: no samples" + (f" from number {start} on" if start else "") + ". At least 1 is needed."
            )

    def _span(self) -> tuple[int, int | None]:
        """Where its samples lie in the source."""
        if self.numbers is None:
            return self.start, self.stop
        return (int(self.numbers[0]), int(self.numbers[-1]) + 1) if len(self.numbers) else (0, 0)

    def _checked(self, chunk: Chunk, first: Chunk, at: int) -> Chunk:
        if self.shapes is not None:
            chunk = arrange(chunk, self.shapes, self.name)
            for array, (name, shape) in zip(chunk.x, self.shapes.items(), strict=True):
                several = f" input '{name}'" if len(self.shapes) > 1 else ""
                check_shape(array.shape[1:], shape, f"{self.name} sample {at}{several}")
        check_uniform(chunk, first if self.shapes is None else arrange(first, self.shapes, self.name), at, self.name)
        return chunk._replace(x=tuple(to_float(a, at, self.name) for a in chunk.x), y=self._checked_y(chunk, at))

    def _checked_y(self, chunk: Chunk, at: int) -> Labels | None:
        if chunk.y is None:
            return None
        if self.targets:
            return as_targets(chunk.y, self.name)
        labels = as_labels(chunk.y, self.name)
        if self.classes is not None:
            check_labels(labels, self.classes, at, self.name)
        return labels

    def _first(self) -> Chunk:
        start = self._span()[0]
        if isinstance(self.source, IterableSource) and start == 0:
            first = self.source.peek(self.shapes)
        else:
            first = next(self.source.chunks(start, start + 1, self.shapes), None)
        if first is None:
            raise DataError(f"{self.name}: no samples. At least 1 is needed.")
        return first


def match(
    dataset: Dataset,
    inputs: Mapping[str, tuple[int, ...]] | tuple[int, ...],
    *,
    batched: bool = True,
    classes: int | None = None,
    need_labels: bool = False,
    targets: bool = False,
) -> Dataset:
    """Hold a dataset against a model: its first sample now, every other one as it is read.

    Args:
        dataset: what `open_data` gave.
        inputs: the shapes of the model's inputs by name, batch axis included; or the shape of its only input.
        batched: axis 0 of the inputs is the batch. Otherwise it is one only if it is 1 (see `check.sample_shapes`).
        classes: number of classes, if labels are to be held against it.
        need_labels: labels are asked for.
        targets: they are real numbers that outputs are compared with.

    Returns:
        The dataset, which gives a dict by input name where the model has several inputs.

    Raises:
        DataError: it does not fit; the text says where, what was expected and what to do.
    """
    shapes = sample_shapes(inputs if isinstance(inputs, Mapping) else {"x": inputs}, batched=batched)
    matched = replace(dataset, shapes=shapes, classes=classes, targets=targets)
    first = matched._first()
    matched._checked(first, first, dataset.start)
    if need_labels and first.y is None:
        raise DataError(f"{dataset.name}: labels are needed and there are none. Give pairs (x, y), or an array 'y'.")
    return matched
