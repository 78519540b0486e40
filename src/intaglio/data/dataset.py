"""Data set over any source: subsets, batches, conversion to float32, checks against the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from intaglio.data.checks import Float, arrange, check_labels, check_shape, check_uniform, sample_shapes, to_float
from intaglio.data.chunk import Array, Chunk, LabelForm, as_given, as_labels, as_targets, join, rebatch
from intaglio.data.images import PictureSource
from intaglio.data.items import IterableSource
from intaglio.data.sounds import SoundFolder
from intaglio.data.source import ArraySource, SampleSource
from intaglio.errors import DataError, UsageError, check_whole
from intaglio.samples import is_held_back

Inputs = Float | tuple[Float, ...] | dict[str, Float]
Labels = Array


@dataclass(frozen=True)
class Dataset:
    """Samples of a source in a fixed order, read in batches with bounded memory.

    Created by `open_data`; `match` adds the checks against a model.

    Attributes:
        source: source of the samples.
        start: first sample of the source.
        stop: sample after the last one; None: all.
        numbers: indices of the samples in the source, increasing, if they are not a range.
        batch_size: default batch size of `batches()`.
        shapes: model input -> shape of one sample; None before `match`.
        classes: number of classes, against which labels are checked; None: not checked.
        targets: form of y (see `chunk.LabelForm`); False: class indices, True: real numbers.
    """

    source: SampleSource
    start: int = 0
    stop: int | None = None
    batch_size: int = 32
    shapes: Mapping[str, tuple[int, ...]] | None = None
    classes: int | None = None
    targets: LabelForm | bool = False
    numbers: npt.NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Name for error messages."""
        return self.source.name

    @property
    def once(self) -> bool:
        """Whether the samples can be read only once (an iterator)."""
        return self.source.once

    @property
    def length(self) -> int | None:
        """Number of samples; None if it is unknown without a full pass."""
        if self.numbers is not None:
            return len(self.numbers)
        count = self.source.count(self.shapes)
        if count is None:
            return None
        return max(0, (count if self.stop is None else min(count, self.stop)) - self.start)

    def __len__(self) -> int:
        """Number of samples; TypeError if unknown (see `length`)."""
        length = self.length
        if length is None:
            raise TypeError(f"{self.name}: the number of samples is not known before a full pass")
        return length

    def __bool__(self) -> bool:
        """Always true, so that `if data` does not count samples."""
        return True

    @property
    def labels(self) -> Labels | None:
        """All labels, int64 (N,); None if they cannot be read without the samples."""
        labels = self.source.labels()
        which = slice(self.start, self.stop) if self.numbers is None else self.numbers
        return None if labels is None else labels[which]

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes 0, 1, ...; None if unknown."""
        return self.source.class_names

    @property
    def input_shape(self) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
        """Shape of one sample, without batch axis; by name with several inputs. Reads one sample."""
        first = self._first()
        shapes = [a.shape[1:] for a in first.x]
        if first.names is None and len(shapes) == 1:
            return shapes[0]
        names = first.names or [str(i) for i in range(len(shapes))]
        return dict(zip(names, shapes, strict=True))

    def peek(self) -> tuple[Inputs, Labels | None]:
        """Return the first sample as `batches(1)` does; does not consume an iterator."""
        first = self._first()
        return self._given(self._checked(first, first, self._span()[0]))

    def integer_types(self) -> list[type | None]:
        """Return, for each array of a sample, bool or int if the source holds such; None for real numbers and bytes."""
        kinds = [a.dtype for a in self._checked_order(self._first()).x]
        return [bool if k.kind == "b" else int if k.kind in "iu" and k.itemsize > 1 else None for k in kinds]

    def limit(self, n: int | None) -> Dataset:
        """Return the first `n` samples; None: all."""
        if n is None:
            return self
        check_whole(f"{self.name}: number of samples", n)
        if n < 1:
            raise UsageError(f"{self.name}: the number of samples must be at least 1, got {n}")
        return self.part(0, n)

    def part(self, first: int, stop: int) -> Dataset:
        """Return samples `first` to `stop - 1`, or as many as there are."""
        if self.numbers is not None:
            return replace(self, numbers=self.numbers[first:stop])
        start, end = self.start + first, self.start + stop
        return replace(self, start=start, stop=end if self.stop is None else min(end, self.stop))

    def hold_back(self, count: int) -> tuple[Dataset, Dataset]:
        """Split into training samples and held-back samples, evenly spread (see `samples.is_held_back`).

        Args:
            count: number of held-back samples.
        Returns:
            (training samples, held-back samples).
        Raises:
            DataError: the samples can be read only once or their number is unknown; or there are too few.
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
        """Read all samples into memory, so that an iterator can be read more than once."""
        whole = join(list(self._chunks()))
        source = ArraySource(self.name, whole.x, whole.y, whole.names)
        return Dataset(source, batch_size=self.batch_size, shapes=self.shapes, classes=self.classes)

    def batches(self, n: int | None = None) -> Iterator[tuple[Inputs, Labels | None]]:
        """Yield batches of `n` samples (default `batch_size`); the last one may be smaller.

        Yields:
            (x, y): x float32 (N, ...), with several inputs a dict by name (a tuple if names are unknown); y int64 (N,),
            float32 (N, ...) for regression targets, as in the data for labels "given", or None without labels.

        Raises:
            DataError: no samples, a sample that does not fit the others or the model, or a second pass over an
                iterator.
        """
        n = self.batch_size if n is None else n
        if n < 1:
            raise UsageError(f"{self.name}: a batch must hold at least 1 sample, got {n}")
        for chunk in rebatch(self._chunks(), n):
            yield self._given(chunk)

    def __iter__(self) -> Iterator[tuple[Inputs, Labels | None]]:
        """Yield batches of `batch_size` samples."""
        return self.batches()

    def _given(self, chunk: Chunk) -> tuple[Inputs, Labels | None]:
        """Convert a chunk to the form that `batches` yields."""
        if chunk.names is not None and (len(chunk.x) > 1 or self.shapes is None):
            return dict(zip(chunk.names, chunk.x, strict=True)), chunk.y
        return chunk.x if len(chunk.x) > 1 else chunk.x[0], chunk.y

    def _chunks(self) -> Iterator[Chunk]:
        """Read chunks of the source, check and convert them."""
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
        """Return the range of the source that contains the samples."""
        if self.numbers is None:
            return self.start, self.stop
        return (int(self.numbers[0]), int(self.numbers[-1]) + 1) if len(self.numbers) else (0, 0)

    def _checked(self, chunk: Chunk, first: Chunk, at: int) -> Chunk:
        chunk = self._checked_order(chunk)
        if self.shapes is not None:
            for array, (name, shape) in zip(chunk.x, self.shapes.items(), strict=True):
                several = f" input '{name}'" if len(self.shapes) > 1 else ""
                check_shape(array.shape[1:], shape, f"{self.name} sample {at}{several}")
        check_uniform(chunk, first if self.shapes is None else arrange(first, self.shapes, self.name), at, self.name)
        return chunk._replace(x=tuple(to_float(a, at, self.name) for a in chunk.x), y=self._checked_y(chunk, at))

    def _checked_order(self, chunk: Chunk) -> Chunk:
        return chunk if self.shapes is None else arrange(chunk, self.shapes, self.name)

    def _checked_y(self, chunk: Chunk, at: int) -> Labels | None:
        if chunk.y is None:
            return None
        y = as_given(chunk.y)
        if self.targets == "given":
            return y
        if self.targets in (True, "numbers"):
            return as_targets(y, self.name)
        labels = as_labels(y, self.name)
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
    targets: LabelForm | bool = False,
) -> Dataset:
    """Check a data set against a model: the first sample now, all others when they are read.

    Args:
        dataset: data set from `open_data`.
        inputs: shapes of the model's inputs by name, with batch axis; or the shape of the only input.
        batched: whether axis 0 of the inputs is the batch axis (see `checks.sample_shapes`).
        classes: number of classes, to check labels; None: labels are not checked.
        need_labels: whether labels are required.
        targets: form of the labels: False or "classes": class indices; True or "numbers": real numbers of any shape;
            "given": as they are in the data, also texts and lists.

    Returns:
        The data set, whose batches are dicts by input name if the model has several inputs.

    Raises:
        DataError: the data do not fit the model.
    """
    shapes = sample_shapes(inputs if isinstance(inputs, Mapping) else {"x": inputs}, batched=batched)
    source = dataset.source
    if isinstance(source, PictureSource | SoundFolder):
        source = source.for_inputs(shapes)
    matched = replace(dataset, source=source, shapes=shapes, classes=classes, targets=targets)
    first = matched._first()
    matched._checked(first, first, dataset.start)
    if need_labels and first.y is None:
        raise DataError(f"{dataset.name}: labels are needed and there are none. Give pairs (x, y), or an array 'y'.")
    return matched
