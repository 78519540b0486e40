"""Run the float network on data and collect statistics of every value that needs a range."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intaglio.calibrate.statistics.initial_states import initial_states
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.calibrate.statistics.shared_data import SharedData
from intaglio.calibrate.statistics.statistics import STATISTICS, Statistics, joined_parts
from intaglio.errors import CalibrationError
from intaglio.files import Checkpoint, data_fingerprint, run_fingerprint, text_fingerprint
from intaglio.graph import Graph, graph_fingerprint, shape
from intaglio.plan import Plan
from intaglio.simulate import Simulator
from intaglio.simulate.tensor_batches import Batches, Feed, feeds

Observe = Callable[[str, Tensor], None]

BATCH_ELEMENTS = 2 << 20
"""Most elements of the largest computed value in a default batch: larger batches leave a CPU's caches, so that they run
no faster and only cost memory."""

CHECKPOINT_SECONDS = 30.0
"""Least time between two writes of a checkpoint."""


def observe(
    graph: Graph,
    plan: Plan,
    dataset: Batches,
    *,
    needs: Needs = Needs.HISTOGRAM | Needs.MOVING,
    first_sample: int = 0,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Statistics:
    """Collect statistics of every activation whose range the Plan asks for.

    Memory does not depend on the number of batches. Several processes may each observe a part of the data;
    `Statistics.merge` then gives what one process would have found.

    Args:
        graph: in normal form; run with real numbers.
        plan: which values need a range.
        dataset: calibration inputs. Of `SharedData` each process observes a part, and all get the merged statistics.
        needs: statistics to keep besides extremes; the default suits every calibrator.
        first_sample: number of the dataset's first sample where it is a part of more data.
        batch_size: samples at a time (default: see `default_batch_size`).
        device: default: the GPU when there is one.
        checkpoint: a .npz file, written every `CHECKPOINT_SECONDS` and at the end. If it exists, the samples in it
            are not observed again: an interrupted run continues.
    Raises:
        CalibrationError: no samples; NaN or infinity in a value (named, with the sample); a checkpoint of another
            Graph, of other data or of other settings.
        DataError: the data do not fit the Graph.
    """
    shared = dataset.part(batch_size or default_batch_size(graph)) if isinstance(dataset, SharedData) else None
    if shared is not None and isinstance(dataset, SharedData):
        part, first = shared

        def observed() -> Statistics:
            return observe(graph, plan, part, needs=needs, first_sample=first, batch_size=batch_size, device=device)

        return merged(dataset.processes.every(observed))
    observer = Observer(graph, plan, needs, device)
    kept = None
    if checkpoint is not None:
        kept = Checkpoint(STATISTICS, checkpoint, _belongs_to(observer.statistics, dataset, needs, first_sample))
        observer.statistics = kept.load(Statistics.from_state) or observer.statistics
    observer.run(dataset, batch_size, first_sample, kept)
    return observer.statistics


def _belongs_to(statistics: Statistics, dataset: Batches, needs: Needs, first_sample: int) -> dict[str, Any]:
    """Fingerprint what a checkpoint of `observe` depends on."""
    return run_fingerprint(
        statistics.graph,
        {"calibration data": data_fingerprint(dataset)},
        {
            "values": text_fingerprint(repr(sorted(statistics.records))),
            "kinds of statistics": int(needs),
            "first sample": first_sample,
        },
    )


def merged(parts: Sequence[Statistics]) -> Statistics:
    """Merge the statistics of all parts."""
    return reduce(Statistics.merge, parts)


class Observer:
    """Runs a float network and collects statistics of its values.

    Args:
        graph, plan, needs, device: see `observe`.
    """

    def __init__(self, graph: Graph, plan: Plan, needs: Needs, device: torch.device | str | None = None) -> None:
        self.simulator = Simulator(graph, device=device)
        self.batch_size = default_batch_size(graph)
        records = {v.name: Record.empty(needs) for v in (*plan.calibrated(), *plan.fixed())}
        self.statistics = Statistics(graph_fingerprint(graph), records)
        self.initial = initial_states(graph)

    def run(
        self,
        dataset: Batches,
        batch_size: int | None = None,
        first_sample: int = 0,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Observe every sample of a data set that is not in the statistics yet; arguments as those of `observe`."""
        seen, done = first_sample, max((stop for _, stop in self.statistics.parts), default=first_sample)
        saved = time.monotonic()
        for size, feed in feeds(dataset, self.simulator, batch_size or self.batch_size, "calibrate"):
            known = min(max(done - seen, 0), size)
            if known < size:
                # A single sample, whose axis 0 may be of any size, is either known or not: nothing is cut off it.
                rest = feed if known == 0 else {name: x[known:] for name, x in feed.items()}
                self.step(rest, seen + known, size - known)
            seen += size
            # Only between steps: within one, some values have seen the batch and others have not.
            if checkpoint is not None and time.monotonic() - saved > CHECKPOINT_SECONDS:
                checkpoint.save(self.statistics.state())
                saved = time.monotonic()
        if seen == first_sample:
            raise CalibrationError("calibration data: expected at least one sample, got none")
        if checkpoint is not None:
            checkpoint.save(self.statistics.state())

    def step(self, feed: Feed, first: int, size: int, also: Observe | None = None) -> None:
        """Observe one batch.

        Args:
            feed: tensors by input name.
            first, size: the number of its first sample; how many samples it has.
            also: called with every value too.
        """
        records = self.statistics.records
        known = dict(self.simulator.constants)  # the initial states among them, and those that are computed

        def see(name: str, x: Tensor) -> None:
            record = records.get(name)
            if name in self.initial.values():
                known[name] = x
            if record is not None:
                counted = x
                if name in self.initial:  # the state before the first step is one of its values too
                    start = known[self.initial[name]]
                    rows = start.expand(size, -1) if start.ndim == 1 else start.reshape(size, -1)
                    counted = torch.cat([rows, x.reshape(size, -1)], 1)
                try:
                    record.add(counted, first, size)
                except CalibrationError as error:
                    text = f"value {name!r}, {error}; repair these data or the model's weights"
                    raise CalibrationError(text) from None
            if also is not None:
                also(name, x)

        with torch.no_grad():
            self.simulator(feed, see)
        self.statistics.parts = joined_parts((*self.statistics.parts, (first, first + size)))


def default_batch_size(graph: Graph) -> int:
    """Choose 1 to 64 samples, so that the largest value has at most BATCH_ELEMENTS elements."""
    if not graph.batched:
        return 1
    largest = max((int(np.prod(shape(v))) for n in graph.nodes for v in n.outputs if v.name), default=1)
    return int(np.clip(BATCH_ELEMENTS // max(largest, 1), 1, 64))
