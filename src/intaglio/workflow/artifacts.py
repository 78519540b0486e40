"""Lower and measure a quantized network, and write every output file."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from intaglio.bench.bench_inputs import random_reals
from intaglio.bench.comparison import processor
from intaglio.bench.engine import ours
from intaglio.bench.rounds import measure
from intaglio.calibrate.no_data import NoData
from intaglio.data import Dataset
from intaglio.errors import ExportError, IntaglioError
from intaglio.evaluation import FloatStage, ProgramStage, SimulatedStage, check_gates, compare
from intaglio.evaluation.evaluate import Evaluation, evaluate
from intaglio.evaluation.metrics.metric_registry import MetricLike
from intaglio.evaluation.model_stages import data_for, integer_stage, steps_of, stream_stage
from intaglio.evaluation.stage import NativeStage, SaturatedStage, Stage, inputs_of
from intaglio.evaluation.stream_stage import is_stream, refuse_to_share
from intaglio.export import export_qdq, export_tflite
from intaglio.graph import Graph
from intaglio.graph.access import constant, shape
from intaglio.graph.tail import TAIL
from intaglio.plan import Step
from intaglio.processes import Processes
from intaglio.program import Program
from intaglio.program.ends import NO_CHANGE, Ends
from intaglio.ptq.driver import Data
from intaglio.quantized import PLAN, PROGRAM, QDQ, REPORT, TFLITE, Quantized
from intaglio.report import Facts, known_facts, print_table, report_json, words, write_report
from intaglio.report.confusion import KEPT, confusion
from intaglio.report.facts import FLOAT_OF_FILE, SCALES_OF_FILE, Latency
from intaglio.report.json_record import as_lines
from intaglio.report.overlay import model_explorer_overlay, value_notes
from intaglio.report.terminal_text import HELD_BACK, SQNR, folded
from intaglio.samples import sample_shape
from intaglio.search.quick_sensitivities import quick_sensitivities
from intaglio.targets import Target
from intaglio.train.loop import Point

STAGES = ("float", "simulated", "integer")
COMPARED_SAMPLES = 16
LATENCY_ROUNDS, LATENCY_SECONDS = 3, 0.05
ALONE = Processes()
FURTHER = ("tflite",)
"""Files that are written where they are asked for: model.tflite."""


@dataclass(frozen=True)
class Destination:
    """Output folder, evaluation data and other settings of `write_artifacts`.

    Args:
        folder: output folder: model.intaglio, model.qdq.onnx (if ONNX has the formats), plan.json, report.html,
            model_explorer.json and summary.json are written into it, and what `write` names.
        target: the hardware target; None for a network that another tool quantized.
        scored: labelled evaluation data; None: accuracy is not measured.
        metric: metric on `scored`.
        source: file of the float model, whose size is reported.
        show: stream for printed tables; None prints nothing.
        seconds: seconds by step so far; later steps are added.
        processes: processes that share the evaluation; each passes the same network, rank 0 writes.
        versions: `opset` and `ir_version` of model.qdq.onnx; the lowest possible where they are missing.
        keep_tail: write the post-processing that was cut off as tail.onnx.
        ends: states and types of the Program's inputs and outputs.
        write: names of further files, of `FURTHER`.
    """

    folder: Path
    target: Target | None
    scored: Dataset | None = None
    metric: MetricLike = "top1"
    source: Path | None = None
    show: TextIO | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    processes: Processes = ALONE
    versions: Mapping[str, int | None] = field(default_factory=dict)
    keep_tail: bool = True
    ends: Ends = NO_CHANGE
    write: tuple[str, ...] = ()


def write_artifacts(
    graph: Graph, quantized: Quantized, dataset: Data | NoData, destination: Destination, curve: tuple[Point, ...] = ()
) -> dict[str, Any]:
    """Lower a quantized network, measure it and write all output files.

    Args:
        graph: the float network.
        quantized: its quantized form.
        dataset: the calibration data.
        destination: output folder and settings.
        curve: the training curve; empty without training.
    Returns:
        The content of summary.json; an empty dictionary on ranks other than 0.
    Raises:
        IntaglioError: a step fails. Files written until then are left to the caller.
    """
    folder, scored, seconds, show = destination.folder, destination.scored, destination.seconds, destination.show
    with timed(seconds, "lower"):
        program = destination.ends.apply(quantized.lower())
    quantized.steps += [Step("ends", sentence) for sentence in destination.ends.sentences(program)]
    # Compiled C pays off when many samples follow; its integers equal the interpreter's.
    integer = ProgramStage(program) if scored is None else integer_stage(program)
    theirs = destination.target is None
    real = SaturatedStage(graph, quantized.plan) if theirs else FloatStage(graph)
    if theirs:
        quantized.steps.append(Step("float", FLOAT_OF_FILE))
    stages = (real, SimulatedStage(quantized.graph, quantized.plan), integer)
    kept = destination.ends.states
    scorers: tuple[Stage, ...] = stages
    if scored is not None and is_stream(scored, kept):
        refuse_to_share(destination.processes)
        scorers = (
            stream_stage(graph, real, kept),
            stream_stage(quantized, stages[1], kept),
            stream_stage(program, integer, kept),
        )
    if destination.processes.rank != 0:
        if scored is not None:
            evaluate(scorers, scored, destination.metric, keep=KEPT, processes=destination.processes)
        return {}
    with timed(seconds, "write"):
        program.save(folder / PROGRAM)
        if "tflite" in destination.write:
            export_tflite(program, folder / TFLITE)
        quantized.plan.save(folder / PLAN)
        if quantized.tail is not None:
            if destination.keep_tail:
                quantized.tail.save(folder / TAIL)
            if show is not None:
                print(folded(f"{quantized.tail}{f'; it is in {TAIL}' if destination.keep_tail else ''}"), file=show)
    evaluation = None
    with timed(seconds, "evaluate"):
        compared = _some_inputs(graph, dataset, scored if scorers is stages else None)
        float_stage = real if quantized.reference is None else FloatStage(quantized.reference)
        differences = [] if compared is None else compare(float_stage, stages[2], compared, steps_of(quantized))
        if scored is not None:
            evaluation = evaluate(scorers, scored, destination.metric, keep=KEPT, processes=destination.processes)
    with timed(seconds, "report"):
        known = known_facts(
            quantized.graph,
            quantized.plan,
            steps=quantized.steps,
            prepared=quantized.prepared,
            reference=quantized.reference,
            statistics=quantized.statistics,
            program=program,
            layers=differences,
        )
        if compared is not None and not theirs:
            some = inputs_of(next(compared.batches(COMPARED_SAMPLES))[0])
            macs = sum(cost.macs for cost in known.costs)
            try:
                alone = quick_sensitivities(quantized.graph, quantized.plan, quantized.reference, some, macs)
                known = replace(known, sensitivities=alone)
            except IntaglioError as error:  # optional part of the page, which then says why it is missing
                failure = Step("sensitivity", f"the sensitivity of layers was not measured: {error}")
                known = replace(known, steps=(*known.steps, failure))
        if evaluation is not None and scored is not None:
            known = replace(known, confusion=confusion(evaluation, scored))
    known = replace(known, training=curve, latency=_latency(integer))
    facts = _facts(known, quantized, program, evaluation, destination)
    try:
        notes = value_notes(quantized.plan, facts)
        export_qdq(quantized.graph, quantized.plan, folder / QDQ, notes=notes, **destination.versions)
    except ExportError as error:
        if isinstance(error.__cause__, OSError):  # the disk is full, for instance: nothing else can be written either
            raise
        failure = Step("export", f"{QDQ} was not written: {error}")
        quantized.steps.append(failure)
        facts = replace(facts, steps=(*facts.steps, failure))
    write_report(folder / REPORT, quantized.graph, quantized.plan, facts)
    overlay = model_explorer_overlay(quantized.graph, differences)
    (folder / "model_explorer.json").write_text(json.dumps(overlay, indent=1), encoding="utf-8")
    summary = report_json(quantized.graph, quantized.plan, facts)
    (folder / "summary.json").write_text(as_lines(summary), encoding="utf-8")
    if show is not None:
        show_facts(facts, show)
        show_history(quantized.history[len(graph.history) :], show)
    return summary


def _latency(stage: Stage) -> Latency | None:
    """Time the compiled Program for a moment; None if the interpreter ran it."""
    if not isinstance(stage, NativeStage):
        return None
    engine = ours(stage.native, random_reals(stage.native.program))[0]
    (timing,) = measure([engine], LATENCY_ROUNDS, LATENCY_SECONDS)
    runs = sum(map(len, timing.rounds))
    return Latency(timing.median, runs, stage.native.machine.name, processor(), stage.native.threads)


def _some_inputs(graph: Graph, dataset: Data | NoData, scored: Dataset | None) -> Dataset | None:
    """Take a few samples to compare layers on; None if there are no data."""
    source = scored if isinstance(dataset, NoData) else dataset
    if source is None:
        return None
    x = inputs_of(next(iter(source.batches(COMPARED_SAMPLES)))[0])
    return data_for(graph, dict(zip([str(v.name) for v in graph.inputs], x, strict=True)))


def _facts(
    known: Facts,
    quantized: Quantized,
    program: Program,
    evaluation: Evaluation | None,
    destination: Destination,
) -> Facts:
    target = destination.target
    classes = int(np.prod(sample_shape(shape(quantized.graph.outputs[0]), batched=quantized.graph.batched)))
    agreement = {}
    if evaluation is not None and evaluation.classes:
        agreement = {
            "simulated and integer": float(evaluation.agreement[1, 2]),
            "float and integer": float(evaluation.agreement[0, 2]),
        }
    return replace(
        known,
        scores={} if evaluation is None else dict(zip(STAGES, evaluation.scores, strict=True)),
        agreement=agreement,
        # After training, a layer's values need not follow the float network: only the results are checked against it.
        gates=check_gates(evaluation, None if known.training else known.layers, classes),
        nbytes={"float": float_bytes(quantized.graph), "integer": program.nbytes},
        seconds=destination.seconds,
        peak_memory_bytes=peak_memory(),
        target=f"{target.name}: {target.description}" if target else f"{quantized.plan.target}, {SCALES_OF_FILE}",
    )


def float_bytes(graph: Graph) -> int:
    """Count the bytes of a network's float constants; a constant that layers share counts once."""
    arrays = [a for v in graph.initializers if (a := constant(v)) is not None and a.dtype == np.float32]
    return sum(map(len, {a.tobytes() for a in arrays}))


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def show_facts(facts: Facts, file: TextIO) -> None:
    """Print failed gates, the result table, agreement, the weakest values and timings."""
    failed = [gate for gate in facts.gates if not gate.passed]
    if failed:
        text = "; ".join(f"{gate.name} ({gate.detail})" for gate in failed)
        print(folded(text, "GATES FAILED: "), file=file)
    rows = []
    for stage in STAGES:
        score = facts.scores.get(stage)
        size = facts.nbytes.get(stage)
        rows.append(
            (
                stage,
                score.shown if score else "-",
                str(score.samples) if score else "-",
                f"{size:,}" if size else "-",
            )
        )
    metric = next((score.metric for score in facts.scores.values()), "score")
    print_table("result", ("stage", metric, "samples", "parameter bytes"), rows, file=file)
    for name, value in facts.agreement.items():
        print(f"{name} agree on {value:.2f} % of the samples", file=file)
    if facts.latency is not None:
        one, many = words.latency(facts.latency.nanoseconds), words.per_second(facts.latency.per_second)
        threads = words.count(facts.latency.threads, "thread")
        print(folded(f"compiled C: {one} for one sample, {many} samples a second ({threads})"), file=file)
    worst = sorted(facts.layers, key=lambda layer: layer.sqnr)[:3]
    if worst:
        text = ", ".join(f"{layer.name} {layer.sqnr:.1f} dB" for layer in worst)
        print(folded(text, "weakest values: ", "  "), file=file)
        print(folded(SQNR, "  "), file=file)
    steps = ", ".join(f"{name} {words.duration(value)}" for name, value in facts.seconds.items())
    whole = words.duration(sum(facts.seconds.values()))
    memory = words.size(facts.peak_memory_bytes or 0)
    print(folded(f"time {whole} ({steps}); peak memory {memory}"), file=file)


def show_history(sentences: Sequence[str], file: TextIO) -> None:
    """Print what was done, one paragraph a step."""
    print("steps:", file=file)
    for sentence in sentences:
        print(folded(sentence, "- "), file=file)
    if "held" in " ".join(sentences):
        print(folded(HELD_BACK, "  "), file=file)


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the block's wall time to `seconds[step]`."""
    begin = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - begin
