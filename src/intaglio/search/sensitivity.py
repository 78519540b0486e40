"""Layer sensitivity: how much quantizing one layer, or leaving one layer real, changes the network's outputs.

    alone:    only this layer is quantized, everything else is real
    without:  everything but this layer is quantized

`alone` shows a layer's own noise. `without` shows what a wider format of the layer would gain while all others are
quantized. `Sensitivities.ranking` uses the mean of both. A layer is an operator with its weights, its result and the
clamp fused into it; network inputs are layers too.

Source: Wu et al. 2020, arXiv:2004.09602, section 6.1 (partial quantization, one layer at a time).
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from intaglio.calibrate.statistics.observer import default_batch_size
from intaglio.data import Dataset
from intaglio.errors import DataError
from intaglio.evaluation.held_back import ArraySamples, Samples
from intaglio.evaluation.metric import Metric
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.sqnr import SignalToNoise
from intaglio.evaluation.stage import inputs_of
from intaglio.evaluation.trial import watched_values
from intaglio.files import arrays_fingerprint, run_fingerprint, text_fingerprint
from intaglio.graph import Graph, graph_fingerprint
from intaglio.plan import Plan
from intaglio.processes import Processes
from intaglio.progress import progress
from intaglio.search.branches import Branches, Values
from intaglio.search.effect import Effect, Scores
from intaglio.search.layer_groups import LayerGroup, layers_of
from intaglio.search.sensitivity_table import LayerSensitivity, Sensitivities, SensitivityFile
from intaglio.simulate import Simulator

LAYERS_AT_ONCE = 8
"""Layers measured between two writes of the file; each group costs one more run of the network."""

Labelled = Iterator[tuple[dict[str, Tensor], Any]]


def sensitivity(
    graph: Graph,
    plan: Plan,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    evaluation: Dataset | None = None,
    metric: MetricLike = "top1",
    path: str | os.PathLike[str] | None = None,
    values: Collection[str] | None = None,
    processes: Processes | None = None,
) -> Sensitivities:
    """Measure the sensitivity of every layer.

    Args:
        graph: the quantized network.
        plan: its calibrated Plan.
        held_back: inputs on which outputs are compared with float.
        reference: the float network with unrounded weights and biases, if those of `graph` were changed (by AdaRound
            or bias correction); same nodes as `graph`.
        evaluation: labelled data for the task metric, from `data_for`; None: measure SQNR only.
        metric: a name of `evaluation.METRICS`, a function, or another form of `MetricLike`.
        path: JSON file for the results, written after each group of layers. Its results are reused if network, Plan,
            data and metric are the same; otherwise all layers are measured again, and `notes` gives the reason.
        values: names of the values to quantize alone or leave real; other values of a layer are treated like the
            rest of the network (a weight that is already rounded in `graph` stays rounded). Default: all values of a
            layer. `partial.wider_values` gives those that a target could widen.
        processes: processes that share the work; each calls this function with the same arguments, measures its part
            and returns all results; rank 0 writes.
    Raises:
        UsageError: unknown metric; `path` has another format or cannot be written; `reference` has other nodes.
        DataError: labels are missing; or the metric of the float network is NaN.
    """
    found_metric = metric_of(metric)
    processes = processes or Processes()
    work = _Work(graph, plan, reference or graph, held_back, evaluation, found_metric, values)
    layers = layers_of(graph, plan)
    file: SensitivityFile | None = None

    def begin() -> Sensitivities:  # runs on rank 0, which alone uses the file
        nonlocal file
        if path is not None:
            file = SensitivityFile(path, work.belongs_to())
        return file.found if file is not None and file.found is not None else work.start()

    def keep() -> None:
        if file is not None:
            file.write(found)

    found = processes.first(begin)
    processes.first(keep)
    order = {layer.name: i for i, layer in enumerate(layers)}
    todo = [layer for layer in layers if layer.name not in found.names]
    rounds = -(-len(todo) // (processes.world * LAYERS_AT_ONCE))
    for k in progress(range(rounds), rounds, "sensitivity"):
        part = todo[k * processes.world * LAYERS_AT_ONCE : (k + 1) * processes.world * LAYERS_AT_ONCE]
        for measured in processes.gather(work.measure(part[processes.rank :: processes.world])):
            found.layers.extend(measured)
        found.layers.sort(key=lambda one: order[one.name])
        processes.first(keep)
    found.notes = processes.first(lambda: [] if file is None else file.notes)
    return found


class _Work:
    """Real and quantized simulators, and the samples on which they are compared."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        reference: Graph,
        held_back: Samples,
        evaluation: Dataset | None,
        metric: Metric,
        values: Collection[str] | None,
    ) -> None:
        if evaluation is not None:
            metric, evaluation = metric.for_names(evaluation.class_names), replace(evaluation, targets=metric.labels)
        self.graph, self.plan, self.reference, self.metric = graph, plan, reference, metric
        self.held_back, self.evaluation = held_back, evaluation
        self.real, self.rounded = Simulator(reference), Simulator(graph, plan)
        self.watched = watched_values(graph)
        wanted = {*self.watched, *self.rounded.output_names}
        self.values = None if values is None else frozenset(values)
        alone, without = self.rounded, self.real
        if values is not None:
            alone = Simulator(reference, plan, only=lambda name: name in values)
            without = Simulator(graph, plan, only=lambda name: name not in values)
        self.from_real = Branches(self.real, alone, wanted)
        self.from_rounded = Branches(self.rounded, without, wanted)

    def belongs_to(self) -> dict[str, Any]:
        """Return everything that the results depend on."""
        held = ({n: x.cpu().numpy() for n, x in feed.items()} for feed in self.held_back.feeds(self.real))
        labelled = (
            {**{n: x.cpu().numpy() for n, x in feed.items()}, "label": np.asarray(y)} for feed, y in self._labelled()
        )
        scored = self.evaluation is not None
        return run_fingerprint(
            graph_fingerprint(self.graph),
            {
                "samples": arrays_fingerprint(held),
                "evaluation data": arrays_fingerprint(labelled) if scored else "none",
            },
            {
                "reference": graph_fingerprint(self.reference),
                "plan": text_fingerprint(self.plan.to_json()),
                "metric": self.metric.fingerprint if scored else "none",
                "part of layers": "all" if self.values is None else text_fingerprint(repr(sorted(self.values))),
            },
        )

    def start(self) -> Sensitivities:
        """Measure the whole network, real and quantized, before any layer."""
        error, real, all_rounded = SignalToNoise(self.watched), Scores(self.metric), Scores(self.metric)
        for feed in self.held_back.feeds(self.real):
            want = self._watched(self._outputs(self.from_real, feed))
            error.add(want, self._outputs(self.from_rounded, feed), self.real.samples_in(feed))
        for feed, label in self._labelled():
            real.add(self._results(self._outputs(self.from_real, feed), len(label)), label)
            all_rounded.add(self._results(self._outputs(self.from_rounded, feed), len(label)), label)
        if self.evaluation is not None and not math.isfinite(real.value):
            raise DataError(
                f"{self.evaluation.name}: expected a finite {self.metric} of the float network, got {real.value}; "
                "look for NaN among the targets, or choose another metric"
            )
        scored = self.evaluation is not None
        return Sensitivities(
            network=self.graph.name,
            target=self.plan.target,
            metric=self.metric.name if scored else "",
            lower_is_better=scored and not self.metric.higher_is_better,
            samples=error.samples,
            scored=real.samples,
            real=real.value if scored else None,
            quantized=Effect(error.sqnr, all_rounded.value if scored else None),
        )

    def measure(self, layers: Sequence[LayerGroup]) -> list[LayerSensitivity]:
        """Measure some layers, alone and left out."""
        if not layers:
            return []
        sides = (self.from_real, self.from_rounded)
        errors = {(layer.name, k): SignalToNoise(self.watched) for layer in layers for k in range(2)}
        scores = {name: Scores(self.metric) for name in errors}
        for feed in self.held_back.feeds(self.real):
            want = self._watched(self._outputs(self.from_real, feed))
            for k, side in enumerate(sides):
                for layer, got in side.run(feed, layers):
                    if layer is not None:
                        errors[layer.name, k].add(want, got, self.real.samples_in(feed))
        for feed, label in self._labelled():
            for k, side in enumerate(sides):
                for layer, got in side.run(feed, layers):
                    if layer is not None:
                        scores[layer.name, k].add(self._results(got, len(label)), label)

        def effect(name: str, k: int) -> Effect:
            return Effect(errors[name, k].sqnr, scores[name, k].value if self.evaluation is not None else None)

        return [LayerSensitivity(o.name, o.op_type, effect(o.name, 0), effect(o.name, 1)) for o in layers]

    def _labelled(self) -> Labelled:
        """Yield batches of evaluation data as simulator inputs, with their labels."""
        if self.evaluation is None:
            return
        size = default_batch_size(self.graph)
        for x, y in self.evaluation.batches(size):
            if y is None:
                raise DataError(
                    f"{self.evaluation.name}: expected a label for each sample, as {self.metric} needs them, got none; "
                    "give labelled data"
                )
            at = 0
            for feed in ArraySamples(inputs_of(x), size).feeds(self.real):
                rows = self.real.samples_in(feed)
                yield dict(feed), y[at : at + rows]
                at += rows

    def _outputs(self, side: Branches, feed: Any) -> Values:
        return next(values for _, values in side.run(feed, ()))

    def _watched(self, values: Values) -> Values:
        return {name: values[name] for name in self.watched}

    def _results(self, values: Values, samples: int) -> tuple[Tensor, ...]:
        return tuple(self.rounded.by_sample(name, values[name], samples) for name in self.rounded.output_names)
