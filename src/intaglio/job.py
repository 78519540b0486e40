"""The main job, step by step and timed: load, quantize, lower, measure, write."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from intaglio.api import DEFAULT_SAMPLES, calibration_data, climb_as, quantize_as, scored_data
from intaglio.calibrate.input_moments import InputRange
from intaglio.data import DataLike, Dataset
from intaglio.export import export_qdq
from intaglio.graph import Graph
from intaglio.graph.access import constant, shape
from intaglio.measure import FloatStage, ProgramStage, SimulatedStage, check_gates, compare
from intaglio.measure.evaluate import Evaluation, evaluate
from intaglio.measure.run import data_for, integer_stage, steps_of
from intaglio.measure.stage import inputs_of
from intaglio.program import Program
from intaglio.quantized import Quantized
from intaglio.recover.pipeline import Data, NoData
from intaglio.recover.recipe import Recipe
from intaglio.report import Facts, known_facts, print_table, report_json, write_report
from intaglio.report.confusion import KEPT, confusion
from intaglio.report.overlay import model_explorer_overlay, value_notes
from intaglio.report.record import as_lines
from intaglio.report.sensitivities import quick_sensitivities
from intaglio.search.attempts import Attempt
from intaglio.targets import Target, load_target

STAGES = ("float", "simulated", "integer")
COMPARED_SAMPLES = 16
DEFAULT_RECIPE = Recipe()


def quantize_job(
    load: Callable[[], Graph],
    data: DataLike,
    folder: Path,
    *,
    target: str | Path | Target = "cpu-int8",
    samples: int | None = DEFAULT_SAMPLES,
    input_range: InputRange = None,
    eval_data: DataLike | None = None,
    eval_limit: int | None = None,
    metric: str = "top1",
    recipe: Recipe = DEFAULT_RECIPE,
    checkpoint: Path | None = None,
    max_drop: float | None = None,
    work: Path | None = None,
    source: Path | None = None,
    show: TextIO | None = None,
) -> dict[str, Any]:
    """Quantize a network, lower it, measure it and write every result.

    Args:
        load: gives the Graph.
        data: for calibration.
        folder: gets model.intaglio, model.qdq.onnx, plan.json, report.html, model_explorer.json and summary.json.
        target, samples, input_range, checkpoint: as for `intaglio.quantize`.
        recipe: its other choices.
        max_drop: the loss that is allowed on `eval_data`: climb the ladder of recipes (see `search.ladder`).
        work: a folder for what an interrupted climb has measured.
        eval_data, eval_limit, metric: what to measure on, if anything.
        source: the model's file, for its size.
        show: where tables are printed; None for nowhere.
    Returns:
        What summary.json holds.
    Raises:
        IntaglioError: whatever step fails; the caller owns the folder.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "load"):
        described = load_target(target)
        graph = load()
        dataset = calibration_data(graph, data, samples, input_range=input_range)
        measured = eval_data is not None or max_drop is not None
        scored = scored_data(graph, eval_data, eval_limit, metric) if measured else None
    with _timed(seconds, "calibrate"):
        if max_drop is None or scored is None:
            quantized = quantize_as(graph, dataset, described, recipe, checkpoint=checkpoint)
        else:
            quantized = climb_as(
                graph,
                dataset,
                described,
                recipe,
                scored,
                max_drop=max_drop,
                metric=metric,
                folder=work,
                tell=None if show is None else _teller(show, metric),
            )
    with _timed(seconds, "lower"):
        program = quantized.lower()
    with _timed(seconds, "write"):
        program.save(folder / "model.intaglio")
        (folder / "plan.json").write_text(quantized.plan.to_json(), encoding="utf-8")
    evaluation = None
    with _timed(seconds, "evaluate"):
        # Compiling pays where many samples follow; the integers are the same.
        integer = ProgramStage(program) if scored is None else integer_stage(program)
        stages = (FloatStage(graph), SimulatedStage(quantized.graph, quantized.plan), integer)
        compared = _some_inputs(graph, dataset, scored)
        float_stage = FloatStage(quantized.reference or graph)
        differences = [] if compared is None else compare(float_stage, stages[2], compared, steps_of(quantized))
        if scored is not None:
            evaluation = evaluate(stages, scored, metric, keep=KEPT)
    with _timed(seconds, "report"):
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
        if compared is not None:
            some = inputs_of(next(compared.batches(COMPARED_SAMPLES))[0])
            macs = sum(cost.macs for cost in known.costs)
            alone = quick_sensitivities(quantized.graph, quantized.plan, quantized.reference, some, macs)
            known = replace(known, sensitivities=alone)
        if evaluation is not None and scored is not None:
            known = replace(known, confusion=confusion(evaluation, scored))
    facts = _facts(known, quantized, program, evaluation, seconds, described, source)
    write_report(folder / "report.html", quantized.graph, quantized.plan, facts)
    notes = value_notes(quantized.plan, facts)
    export_qdq(quantized.graph, quantized.plan, folder / "model.qdq.onnx", notes=notes)
    overlay = model_explorer_overlay(quantized.graph, differences)
    (folder / "model_explorer.json").write_text(json.dumps(overlay, indent=1), encoding="utf-8")
    summary = report_json(quantized.graph, quantized.plan, facts)
    (folder / "summary.json").write_text(as_lines(summary), encoding="utf-8")
    if show is not None:
        show_facts(facts, show)
        for sentence in quantized.history[len(graph.history) :]:
            print(sentence, file=show)
    return summary


def _some_inputs(graph: Graph, dataset: Data | NoData, scored: Dataset | None) -> Dataset | None:
    """A few samples to compare layers on; None where there are no data at all."""
    source = scored if isinstance(dataset, NoData) else dataset
    if source is None:
        return None
    x = inputs_of(next(iter(source.batches(COMPARED_SAMPLES)))[0])
    return data_for(graph, dict(zip([str(v.name) for v in graph.inputs], x, strict=True)))


def _teller(show: TextIO, metric: str) -> Callable[[Attempt, float], None]:
    """Prints a line for each attempt as it comes."""

    def tell(attempt: Attempt, loss: float) -> None:
        if attempt.score is None:
            result = f"no result: {attempt.error}"
        else:
            result = f"{metric} {attempt.score:.2f}, loss {loss:.2f}, {attempt.seconds:.1f} s"
        print(f"{attempt.rung:12} {attempt.name:28} {result}", file=show, flush=True)

    return tell


def _facts(
    known: Facts,
    quantized: Quantized,
    program: Program,
    evaluation: Evaluation | None,
    seconds: dict[str, float],
    target: Target,
    source: Path | None,
) -> Facts:
    classes = int(np.prod(shape(quantized.graph.outputs[0])[1:]))
    floats = sum(
        a.nbytes for v in quantized.graph.initializers if (a := constant(v)) is not None and a.dtype == np.float32
    )
    agreement = {}
    if evaluation is not None and evaluation.scores[0].metric.startswith("top"):
        agreement = {
            "simulated and integer": float(evaluation.agreement[1, 2]),
            "float and integer": float(evaluation.agreement[0, 2]),
        }
    return replace(
        known,
        scores={} if evaluation is None else dict(zip(STAGES, evaluation.scores, strict=True)),
        agreement=agreement,
        gates=check_gates(evaluation, known.layers, classes),
        nbytes={
            "float": source.stat().st_size if source is not None and source.suffix == ".onnx" else floats,
            "integer": program.nbytes,
        },
        seconds=seconds,
        peak_memory_bytes=peak_memory(),
        target=f"{target.name}: {target.description}",
    )


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def show_facts(facts: Facts, file: TextIO) -> None:
    """Print what a person wants first."""
    failed = [gate for gate in facts.gates if not gate.passed]
    if failed:
        print("GATES FAILED: " + "; ".join(f"{gate.name} ({gate.detail})" for gate in failed), file=file)
    rows = []
    for stage in STAGES:
        score = facts.scores.get(stage)
        size = facts.nbytes.get(stage)
        rows.append(
            (
                stage,
                f"{score.value:.2f}" if score else "-",
                str(score.samples) if score else "-",
                f"{size:,}" if size else "-",
            )
        )
    metric = next((score.metric for score in facts.scores.values()), "score")
    print_table("result", ("stage", metric, "samples", "parameter bytes"), rows, file=file)
    for name, value in facts.agreement.items():
        print(f"{name} agree on {value:.2f} % of the samples", file=file)
    worst = sorted(facts.layers, key=lambda layer: layer.sqnr)[:3]
    if worst:
        print("weakest layers: " + ", ".join(f"{layer.name} {layer.sqnr:.1f} dB" for layer in worst), file=file)
    steps = ", ".join(f"{name} {value:.1f}" for name, value in facts.seconds.items())
    print(f"seconds: {steps}; peak memory {(facts.peak_memory_bytes or 0) / 2**20:,.0f} MiB", file=file)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - begin
