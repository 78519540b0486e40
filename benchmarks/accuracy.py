"""Measure the accuracy of integer programs on real networks and data; print a Markdown table.

Usage: python benchmarks/accuracy.py [--data DIR] [--only PATTERN] [--targets cpu-int8,...] [--limit N] > results.md

DIR (default: $INTAGLIO_DATA) holds the networks and data that `CASES` names; they are not part of the repository.
For networks without labelled data, the table gives the SQNR of their outputs against the float network.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import intaglio as ig
from intaglio.errors import IntaglioError
from intaglio.evaluation import FloatStage, ProgramStage, SimulatedStage, compare
from intaglio.evaluation.evaluate import evaluate
from intaglio.evaluation.model_stages import data_for, steps_of


@dataclass(frozen=True)
class Case:
    """A network, its calibration data and its evaluation data, relative to the data folder.

    Args:
        model: .onnx file.
        calibration: a data source: `FILE.npz:KEY` takes one array, "random" makes random inputs.
        evaluation: labelled data, or None for output SQNR on the calibration inputs.
        samples: calibration samples.
    """

    model: str
    calibration: str
    evaluation: str | None
    samples: int


CASES = (
    Case("cifar10/resnet20.onnx", "cifar10/train-resnet20.toml", "cifar10/test-resnet20.toml", 512),
    Case("cifar10/resnet20_bn.onnx", "cifar10/train-resnet20.toml", "cifar10/test-resnet20.toml", 512),
    Case("foreign-int8/ort/resnet20_fp32.onnx", "cifar10/train-resnet20.toml", "cifar10/test-resnet20.toml", 512),
    Case("cifar10/mobilenetv2.onnx", "cifar10/train.toml", "cifar10/test.toml", 512),
    Case("cifar10/mobilenetv2_relu.onnx", "cifar10/train.toml", "cifar10/test.toml", 512),
    Case("cifar10/mobilenetv2_rescaled.onnx", "cifar10/train.toml", "cifar10/test.toml", 512),
    Case("imagenet/mobilenet_v1_0.25_224.onnx", "imagenet/calib.toml", "imagenet/test.toml", 100),
    Case("flowers/mobilenet_v2_0.35_128.onnx", "flowers/calib-128.toml", "flowers/test-128.toml", 200),
    Case("flowers/mobilenet_v2_0.35_224.onnx", "flowers/calib-224.toml", "flowers/test-224.toml", 200),
    Case("mlperf-tiny/resnet8.onnx", "cifar10/train-tiny.toml", "cifar10/test-tiny.toml", 512),
    Case("mlperf-tiny/vww_mobilenet_v1_0.25.onnx", "mlperf-tiny/vww_96_float_litert_io.npz:*", None, 64),
    Case("mlperf-tiny/ad_autoencoder.onnx", "mlperf-tiny/ad01_fp32_litert_io.npz:*", None, 64),
    Case("speech/dtln/model_2.onnx", "random", None, 64),
)


def calibration_of(case: Case, folder: Path, graph: ig.Graph) -> object:
    """Return the calibration inputs in a form that `intaglio.quantize` takes."""
    if case.calibration == "random":
        from intaglio.graph.access import shape

        rng = np.random.default_rng(0)
        return {str(v.name): rng.normal(size=(case.samples, *shape(v)[1:])).astype(np.float32) for v in graph.inputs}
    path, _, key = case.calibration.partition(":")
    if not key:
        return folder / path
    arrays = np.load(folder / path)
    name = next(n for n in arrays if n.startswith(("x", "in")))
    x = arrays[name].astype(np.float32)
    return x[:, 0] if x.ndim > len(graph.inputs[0].shape or ()) else x  # one array of batches of 1


def run_case(case: Case, folder: Path, target: str, limit: int | None) -> str:
    """Measure one row of the table."""
    begin = time.perf_counter()
    graph = ig.load(folder / case.model)
    data = calibration_of(case, folder, graph)
    quantized = ig.quantize(graph, data, target=target, samples=case.samples)
    program = quantized.lower()
    seconds = time.perf_counter() - begin
    stages = (FloatStage(graph), SimulatedStage(quantized.graph, quantized.plan), ProgramStage(program))
    layers = compare(stages[0], stages[2], data_for(graph, data, 16), steps_of(quantized), samples=16)
    worst = min(layers, key=lambda layer: layer.sqnr)
    tail = f"{layers[-1].sqnr:.1f} | {worst.name} {worst.sqnr:.1f} | {seconds:.1f}"
    if case.evaluation is None:
        return f"| {case.model} | {target} | - | - | - | - | - | - | {tail} |"
    result = evaluate(stages, data_for(graph, folder / case.evaluation, limit, labels=True))
    top = " | ".join(f"{score.value:.2f}" for score in result.scores)
    agree = f"{result.agreement[0, 2]:.2f} | {result.agreement[1, 2]:.2f}"
    return f"| {case.model} | {target} | {result.scores[0].samples} | {top} | {agree} | {tail} |"


def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("INTAGLIO_DATA", "../shared/data")))
    parser.add_argument("--only", default="*")
    parser.add_argument("--targets", default="cpu-int8")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    print("| network | target | samples | float | simulated | integer | float = integer % | simulated = integer % "
          "| output SQNR dB | weakest value dB | seconds to quantize |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for case in CASES:
        if not fnmatch.fnmatch(case.model, args.only):
            continue
        for target in args.targets.split(","):
            try:
                print(run_case(case, args.data, target, args.limit), flush=True)
            except IntaglioError as error:
                print(f"| {case.model} | {target} | failed: {str(error).splitlines()[0]} |", flush=True)
                print(f"{case.model}, {target}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
