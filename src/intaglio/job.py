"""The main job, step by step and timed: load, quantize, lower, measure, write."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from intaglio.api import quantize
from intaglio.data import DataLike
from intaglio.graph import Graph
from intaglio.graph.access import constant, shape
from intaglio.measure import FloatStage, LayerDifference, ProgramStage, SimulatedStage, check_gates, compare
from intaglio.measure.evaluate import Evaluation, evaluate
from intaglio.measure.run import data_for, steps_of
from intaglio.program import Program
from intaglio.quantized import Quantized
from intaglio.report import Facts, print_table, write_report
from intaglio.targets import Target, load_target

STAGES = ("float", "simulated", "integer")
COMPARED_SAMPLES = 16


def quantize_job(
    load: Callable[[], Graph],
    data: DataLike,
    folder: Path,
    *,
    target: str | Path | Target = "cpu-int8",
    samples: int | None = 512,
    eval_data: DataLike | None = None,
    eval_limit: int | None = None,
    metric: str = "top1",
    calibrator: str | None = "auto",
    weight_calibrator: str | None = None,
    layers: Mapping[str, str] | None = None,
    equalize: bool = True,
    bias_correction: bool = True,
    adaround: bool = False,
    adaround_iterations: int = 1000,
    adaround_checkpoint: Path | None = None,
    source: Path | None = None,
    show: TextIO | None = None,
) -> dict[str, Any]:
    """Quantize a network, lower it, measure it and write every result.

    Args:
        load: gives the Graph.
        data: for calibration.
        folder: gets model.intaglio, model.qdq.onnx, plan.json, report.html and summary.json.
        target, samples, calibrator, weight_calibrator, layers, equalize, bias_correction, adaround,
            adaround_iterations, adaround_checkpoint: as for `intaglio.quantize`.
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
        scored = None if eval_data is None else data_for(graph, eval_data, eval_limit, labels=True)
    with _timed(seconds, "calibrate"):
        quantized = quantize(
            graph,
            data,
            described,
            samples=samples,
            calibrator=calibrator,
            weight_calibrator=weight_calibrator,
            layers=layers,
            equalize=equalize,
            bias_correction=bias_correction,
            adaround=adaround,
            adaround_iterations=adaround_iterations,
            adaround_checkpoint=adaround_checkpoint,
        )
    with _timed(seconds, "lower"):
        program = quantized.lower()
    with _timed(seconds, "write"):
        program.save(folder / "model.intaglio")
        quantized.export(folder / "model.qdq.onnx")
        (folder / "plan.json").write_text(quantized.plan.to_json(), encoding="utf-8")
    evaluation = None
    with _timed(seconds, "evaluate"):
        stages = (FloatStage(graph), SimulatedStage(quantized.graph, quantized.plan), ProgramStage(program))
        compared = data_for(graph, data, COMPARED_SAMPLES)
        differences = compare(
            stages[0],
            stages[2],
            compared.cached() if compared.once else compared,
            steps_of(quantized),
            samples=COMPARED_SAMPLES,
        )
        if scored is not None:
            evaluation = evaluate(stages, scored, metric)
    facts = _facts(quantized, program, evaluation, differences, seconds, described, source)
    write_report(folder / "report.html", quantized.graph, quantized.plan, facts)
    summary = summarise(facts)
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    if show is not None:
        show_facts(facts, show)
        for sentence in quantized.history[len(graph.history) :]:
            print(sentence, file=show)
    return summary


def _facts(
    quantized: Quantized,
    program: Program,
    evaluation: Evaluation | None,
    differences: list[LayerDifference],
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
    return Facts(
        scores={} if evaluation is None else dict(zip(STAGES, evaluation.scores, strict=True)),
        agreement=agreement,
        layers=differences,
        gates=check_gates(evaluation, differences, classes),
        nbytes={
            "float": source.stat().st_size if source is not None and source.suffix == ".onnx" else floats,
            "integer": program.nbytes,
        },
        seconds=seconds,
        peak_memory_bytes=peak_memory(),
        history=tuple(quantized.history),
        target=f"{target.name}: {target.description}",
    )


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def summarise(facts: Facts) -> dict[str, Any]:
    """The facts as summary.json holds them."""
    return {
        "gates": {"passed": all(g.passed for g in facts.gates), "checks": [g.to_json() for g in facts.gates]},
        **{stage: score.to_json() for stage, score in facts.scores.items()},
        "agreement": {name: round(value, 4) for name, value in facts.agreement.items()},
        "bytes": dict(facts.nbytes),
        "seconds": {name: round(value, 3) for name, value in facts.seconds.items()},
        "peak_memory_bytes": facts.peak_memory_bytes,
        "target": facts.target,
        "layers": [layer.to_json() for layer in facts.layers],
        "history": list(facts.history),
    }


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
