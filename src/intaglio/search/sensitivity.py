"""Sensitivity: how much each layer, quantized alone or alone left out, changes the outputs of the network.

    alone:    only this layer is quantized, everything else is real
    without:  everything but this layer is quantized

Alone, a layer's noise is seen on its own; left out, it is seen in the presence of all the others, which is what raising
its format would give. Both count: `Sensitivities.ranking`. A layer is an operator that computes, with its weights, its
result and the clamp that is its saturation; inputs of the network are layers too.

Source: Wu et al. 2020, arXiv:2004.09602, section 6.1 (partial quantization, one layer at a time).
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from intaglio.calibrate.statistics.observer import default_batch_size
from intaglio.data import Dataset
from intaglio.errors import DataError, UsageError
from intaglio.evaluation.evaluate import METRICS
from intaglio.evaluation.held_back import ArraySamples, Samples
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
from intaglio.search.layer_groups import Layer, layers_of
from intaglio.search.sensitivity_table import LayerSensitivity, Sensitivities, SensitivityFile
from intaglio.simulate import Simulator

LAYERS_AT_ONCE = 8
"""Layers between two writes of the results; each such group runs the network once more."""

Labelled = Iterator[tuple[dict[str, Tensor], Any]]


def sensitivity(
    graph: Graph,
    plan: Plan,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    evaluation: Dataset | None = None,
    metric: str = "top1",
    path: str | os.PathLike[str] | None = None,
    values: Collection[str] | None = None,
    processes: Processes | None = None,
) -> Sensitivities:
    """Measure every layer.

    Args:
        graph: the quantized network.
        plan: its Plan, calibrated.
        held_back: inputs on which outputs are compared with float.
        reference: the float network with its real weights and biases, where those of `graph` were changed (by AdaRound
            or bias correction); it has the same nodes.
        evaluation: labelled data for the task metric, as `data_for` gives them; None: output error only.
        metric: a name of `evaluation.METRICS`.
        path: a JSON file that is written as results come. Where it has results for the same network, Plan, data and
            metric, they are not measured again; where any of these is another, all are, and `notes` says so.
        values: names of the values that are quantized alone and left out; what else belongs to a layer stays as the
            rest of the network is (a weight that `graph` has rounded already stays so). By default everything of a
            layer; `partial.wider_values` gives those that a target could widen.
        processes: those that share the work; each measures its part, rank 0 writes, all return everything. Every one
            has to be called with the same arguments.
    Raises:
        UsageError: no such metric; `path` is no such file or cannot be written; `reference` is another network.
        DataError: no labels; or the metric of the float network is NaN.
    """
    if metric not in METRICS:
        raise UsageError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    processes = processes or Processes()
    work = _Work(graph, plan, reference or graph, held_back, evaluation, metric, values)
    layers = layers_of(graph, plan)
    file: SensitivityFile | None = None

    def begin() -> Sensitivities:  # on rank 0, as is all that has to do with the file
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
    """The two simulators and the samples on which they are compared."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        reference: Graph,
        held_back: Samples,
        evaluation: Dataset | None,
        metric: str,
        values: Collection[str] | None,
    ) -> None:
        self.graph, self.plan, self.reference, self.metric = graph, plan, reference, metric
        self.held_back, self.evaluation = held_back, evaluation
        self.real, self.rounded = Simulator(reference), Simulator(graph, plan)
        self.watched = watched_values(graph)
        wanted = {*self.watched, self.rounded.output_names[0]}
        self.values = None if values is None else frozenset(values)
        alone, without = self.rounded, self.real
        if values is not None:
            alone = Simulator(reference, plan, only=lambda name: name in values)
            without = Simulator(graph, plan, only=lambda name: name not in values)
        self.from_real = Branches(self.real, alone, wanted)
        self.from_rounded = Branches(self.rounded, without, wanted)

    def belongs_to(self) -> dict[str, Any]:
        """All that the results depend on."""
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
                "metric": self.metric if scored else "none",
                "part of layers": "all" if self.values is None else text_fingerprint(repr(sorted(self.values))),
            },
        )

    def start(self) -> Sensitivities:
        """The whole network, real and quantized; no layer yet."""
        error, real, all_rounded = SignalToNoise(self.watched), Scores(self.metric), Scores(self.metric)
        for feed in self.held_back.feeds(self.real):
            want = self._watched(self._outputs(self.from_real, feed))
            error.add(want, self._outputs(self.from_rounded, feed), self.real.samples_in(feed))
        for feed, label in self._labelled():
            real.add(self._first(self._outputs(self.from_real, feed), len(label)), label)
            all_rounded.add(self._first(self._outputs(self.from_rounded, feed), len(label)), label)
        if self.evaluation is not None and not math.isfinite(real.value):
            raise DataError(
                f"{self.evaluation.name}: expected a number for {self.metric} of the float network, got {real.value}; "
                "look for NaN among the targets, or choose another metric"
            )
        scored = self.evaluation is not None
        return Sensitivities(
            network=self.graph.name,
            target=self.plan.target,
            metric=self.metric if scored else "",
            samples=error.samples,
            scored=real.samples,
            real=real.value if scored else None,
            quantized=Effect(error.sqnr, all_rounded.value if scored else None),
        )

    def measure(self, layers: Sequence[Layer]) -> list[LayerSensitivity]:
        """Some layers, both ways."""
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
                        scores[layer.name, k].add(self._first(got, len(label)), label)

        def effect(name: str, k: int) -> Effect:
            return Effect(errors[name, k].sqnr, scores[name, k].value if self.evaluation is not None else None)

        return [LayerSensitivity(o.name, o.op_type, effect(o.name, 0), effect(o.name, 1)) for o in layers]

    def _labelled(self) -> Labelled:
        """Batches of evaluation data, as the simulators take them, and their labels."""
        if self.evaluation is None:
            return
        size = default_batch_size(self.graph)
        for x, y in self.evaluation.batches(size):
            if y is None:
                raise DataError(f"{self.evaluation.name}: {self.metric} needs a label for each sample, got none")
            at = 0
            for feed in ArraySamples(inputs_of(x), size).feeds(self.real):
                rows = self.real.samples_in(feed)
                yield dict(feed), y[at : at + rows]
                at += rows

    def _outputs(self, side: Branches, feed: Any) -> Values:
        return next(values for _, values in side.run(feed, ()))

    def _watched(self, values: Values) -> Values:
        return {name: values[name] for name in self.watched}

    def _first(self, values: Values, samples: int) -> Any:
        name = self.rounded.output_names[0]
        return self.rounded.by_sample(name, values[name], samples)
