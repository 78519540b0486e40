"""Match a model with an engine and with data, for the public `evaluate` and the commands.

PyTorch and ONNX are loaded only for models that need them, so that a core install can evaluate a Program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from intaglio.codegen.native import NativeProgram
from intaglio.data import DataLike, Dataset, match, open_data
from intaglio.data.chunk import LabelForm
from intaglio.errors import CompileError, DataError, UsageError, check_whole
from intaglio.evaluation.evaluate import Score, evaluate
from intaglio.evaluation.metrics.metric_registry import MetricLike, metric_of
from intaglio.evaluation.stage import FloatStage, NativeStage, ProgramStage, SaturatedStage, SimulatedStage, Stage
from intaglio.evaluation.stream_stage import StreamStage, holds_states, is_stream, match_stream, refuse_to_share
from intaglio.program import Program
from intaglio.program.states import check_pairs

if TYPE_CHECKING:
    from intaglio.graph import Graph
    from intaglio.plan import Plan
    from intaglio.processes import Processes


class Planned(Protocol):
    """A Graph with its Plan: what `intaglio.quantize` returns."""

    graph: Graph
    plan: Plan

    def lower(self) -> Program:
        """The integer-only Program."""


Model: TypeAlias = "Graph | Planned | Program | NativeProgram"


def data_for(
    model: Model,
    data: DataLike,
    samples: int | None = None,
    *,
    labels: bool = False,
    metric: MetricLike = "top1",
    form: LabelForm | None = None,
    states: Mapping[str, str] | None = None,
) -> Dataset:
    """Open data and check them against a model's inputs.

    Args:
        model: the one that the data are inputs of.
        data: see `intaglio.data.open_data`.
        samples: most samples to read.
        labels: whether labels are needed; a pair of arrays is then inputs and labels, of whatever shape.
        metric: the one to be computed, which says what form labels have.
        form: form of the labels instead of the metric's.
        states: the output of each state by the name of its input: data need not hold the states.
    Raises:
        DataError: the data do not fit.
        UsageError: no such metric.
    """
    if samples is not None:
        check_whole("samples", samples, 1)
    if isinstance(model, NativeProgram):
        model = model.program
    if isinstance(model, Program):
        shapes, batched = {name: model.tensors[name].shape for name in model.inputs}, model.batched
    else:
        from intaglio.graph import Graph
        from intaglio.graph.access import shape

        graph = model if isinstance(model, Graph) else model.graph
        shapes, batched = {str(v.name): shape(v) for v in graph.inputs}, graph.batched
    opened = open_data(data, limit=samples, labels=labels, pair=labels)
    targets = form or metric_of(metric).labels
    if states and not holds_states(opened, list(shapes), states):
        return match_stream(opened, shapes, states, need_labels=labels, targets=targets)
    return match(opened, shapes, batched=batched, need_labels=labels, targets=targets)


def stage_of(model: Model, engine: str | None = None) -> Stage:
    """Choose the stage that runs a model.

    Args:
        model: a Graph (float), a Quantized (float, simulate, reference or native; simulate unasked), a Program
            (reference or native; reference unasked) or a compiled Program (native).
        engine: float, simulate, reference or native; None for the one named above.
    Raises:
        UsageError: the model cannot be run by that engine.
        CompileError: of native: no compiler, or an operator without a kernel.
    """
    if isinstance(model, NativeProgram):
        _require(engine, "a compiled program", ("native",))
        return NativeStage(model)
    if isinstance(model, Program):
        _require(engine, "a Program", ("reference", "native"))
        return NativeStage(model) if engine == "native" else ProgramStage(model)
    from intaglio.graph import Graph

    if isinstance(model, Graph):
        _require(engine, "a float network", ("float",))
        return FloatStage(model)
    _require(engine, "a quantized network", ("simulate", "reference", "native", "float"))
    if engine in ("reference", "native"):
        return stage_of(model.lower(), engine)
    if engine == "float":
        from intaglio.program.structure import FILE_TARGET

        return SaturatedStage(model.graph, model.plan) if model.plan.target == FILE_TARGET else FloatStage(model.graph)
    return SimulatedStage(model.graph, model.plan)


def stream_stage(model: Model, stage: Stage, states: Mapping[str, str]) -> StreamStage:
    """Run a model's stage as a stream; a Program's own states begin with their initial values."""
    if isinstance(model, NativeProgram):
        model = model.program
    if isinstance(model, Program):
        initial = {}
        for state in model.states:
            params = model.tensors[state.input].params
            initial[state.input] = state.initial if params is None else params.dequantize(state.initial)
        return StreamStage(stage, model.outputs, states, initial)
    from intaglio.graph import Graph

    graph = model if isinstance(model, Graph) else model.graph
    return StreamStage(stage, [str(value.name) for value in graph.outputs], states)


def states_of(model: Model, states: Mapping[str, str] | None) -> dict[str, str]:
    """Return the output of each state by the name of its input: those given, or those that a Program declares.

    Raises:
        UsageError: a name is unknown or repeats.
    """
    if isinstance(model, NativeProgram):
        model = model.program
    if isinstance(model, Program):
        if states:
            check_pairs(model.inputs, model.outputs, states)
        return dict(states or {state.input: state.output for state in model.states})
    if not states:
        return {}
    from intaglio.graph import Graph

    graph = model if isinstance(model, Graph) else model.graph
    inputs, outputs = (tuple(str(value.name) for value in values) for values in (graph.inputs, graph.outputs))
    check_pairs(inputs, outputs, states)
    return dict(states)


def integer_stage(program: Program) -> Stage:
    """Choose the fastest stage for a Program: native where it compiles, else the reference, with the same integers."""
    try:
        return NativeStage(program)
    except CompileError:
        return ProgramStage(program)


def _require(engine: str | None, what: str, engines: tuple[str, ...]) -> None:
    if engine is not None and engine not in engines:
        raise UsageError(f"engine: {what} is run by {' or '.join(engines)}, got {engine!r}")


def score(
    model: Model,
    data: DataLike,
    metric: MetricLike = "top1",
    *,
    engine: str | None = None,
    limit: int | None = None,
    processes: Processes | None = None,
    states: Mapping[str, str] | None = None,
) -> Score:
    """Measure accuracy on labelled data.

    Args:
        model: float Graph, Quantized (simulated), Program (integers) or what `intaglio.compile` returns (integers).
        data: with labels; see `intaglio.data.open_data`.
        metric: a name of `METRICS`; a function `f(outputs, targets) -> float` of the whole data set; an object with
            `update(outputs, targets)`, called for each batch, and `compute()`, as those of torchmetrics; or
            "package.module:name" of a function or object. `outputs` is an array (N, ...), or a tuple of arrays where
            the network has several outputs.
        engine: float, simulate, reference or native, where another than the model's own is wanted.
        limit: most samples to read.
        processes: those that share the samples; each calls this.
        states: the output of each state by the name of its input, where the Program does not declare them. Data
            without the states are steps of one stream, or sequences of steps (see `evaluation.stream_stage`).
    Raises:
        UsageError: the model cannot be run by that engine; no such metric, or it fails; or a state's name is unknown.
        DataError: the data do not fit, or have no labels; or the metric is NaN or infinite.
    """
    found = metric_of(metric)
    kept = states_of(model, states)
    if states and isinstance(model, Program) and not model.states:
        model = model.with_states(states)
    dataset = data_for(model, data, limit, labels=True, metric=found, states=kept)
    stage = stage_of(model, engine)
    if is_stream(dataset, kept):
        stage = stream_stage(model, stage, kept)
        refuse_to_share(processes)
    result = evaluate([stage], dataset, found, processes=processes).scores[0]
    if not math.isfinite(result.value):
        raise DataError(
            f"{dataset.name}: expected a finite {found}, got {result.value} on {result.samples} samples; look for NaN "
            "among outputs and targets, and for a division by zero in the metric"
        )
    return result


def steps_of(model: Model) -> dict[str, float]:
    """Collect quantization steps by Graph value name, for values with one scale; empty for a float network."""
    if isinstance(model, NativeProgram):
        model = model.program
    if isinstance(model, Program):
        tensors = [info for info in model.tensors.values() if info.graph_name is not None and info.params is not None]
        return {
            str(i.graph_name): float(i.params.scale)
            for i in tensors
            if i.params is not None and i.params.scale.ndim == 0
        }
    plan = getattr(model, "plan", None)
    if plan is None:
        return {}
    params = {name: plan.params(name) for name in plan.values}
    return {name: float(p.scale) for name, p in params.items() if p is not None and p.scale.ndim == 0}
