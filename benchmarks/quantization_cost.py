"""Compare time and peak memory of quantizing a network with ONNX Runtime's quantizer on the same images.

Usage: python benchmarks/quantization_cost.py [--images 64] [--rounds 3] [--calibrator max] [--model FILE.onnx]

Each measurement runs in a separate process, and the two tools take turns. Peak memory is that of the whole process,
including imports. Seconds are those of the quantizer's call, from model file to calibrated result.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

SIZE = 224


def images(count: int) -> np.ndarray:
    """Make smooth random images, (count, 3, 224, 224) float32."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(count, 3, 14, 14)).astype(np.float32)
    return coarse.repeat(SIZE // 14, axis=2).repeat(SIZE // 14, axis=3)


def write_model(path: Path) -> None:
    """Write MobileNetV2 1.0 with random weights."""
    import torch

    from intaglio.zoo.mobilenet_v2 import MobileNetV2

    torch.onnx.export(
        MobileNetV2(), (torch.zeros(1, 3, SIZE, SIZE),), str(path), dynamo=True, external_data=False, verbose=False
    )


def with_intaglio(model: str, count: int, calibrator: str) -> None:
    """Load, place and calibrate with Intaglio."""
    import intaglio as ig
    import intaglio.api  # PyTorch is loaded before the clock starts, as the other tool's runtime is

    data = images(count)
    begin = time.perf_counter()
    quantized = ig.quantize(ig.load(model), data, calibrator=calibrator, samples=None)
    middle = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        quantized.export(Path(folder) / "q.onnx")
    print(json.dumps({"quantize": middle - begin, "export": time.perf_counter() - middle}))


def with_onnxruntime(model: str, count: int, calibrator: str) -> None:
    """Run quantize_static: QDQ, per channel, min-max."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    data = images(count)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.at = 0

        def get_next(self):
            self.at += 1
            return {"x": data[self.at - 1 : self.at]} if self.at <= len(data) else None

    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        quantize_static(
            model,
            str(Path(folder) / "q.onnx"),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax if calibrator == "max" else CalibrationMethod.Percentile,
        )
    print(json.dumps({"quantize": time.perf_counter() - begin, "export": 0.0}))


def measure(tool: str, model: Path, args: argparse.Namespace, count: int) -> dict[str, float]:
    """Measure one run in a separate process."""
    command = [sys.executable, __file__, "--tool", tool, "--model", str(model), "--images", str(count)]
    done = subprocess.run([*command, "--calibrator", args.calibrator], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    *_, seconds, memory = done.stdout.strip().splitlines()
    return {**json.loads(seconds), "peak MiB": float(memory)}


def main() -> None:
    """Measure both, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calibrator", default="max")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tool", choices=["intaglio", "onnxruntime"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.tool:
        (with_intaglio if args.tool == "intaglio" else with_onnxruntime)(str(args.model), args.images, args.calibrator)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or Path(folder) / "mobilenet_v2.onnx"
        if args.model is None:
            write_model(model)
        for count in sorted({16, args.images}):
            rows: dict[str, list[dict[str, float]]] = {"intaglio": [], "onnxruntime": []}
            for _ in range(args.rounds):
                for tool, runs in rows.items():
                    runs.append(measure(tool, model, args, count))
            for tool, runs in rows.items():
                facts = {key: median(run[key] for run in runs) for key in runs[0]}
                print(f"{count} images, {tool}: " + ", ".join(f"{k} {v:.2f}" for k, v in facts.items()), flush=True)
            ratio = median(r["quantize"] for r in rows["intaglio"]) / median(r["quantize"] for r in rows["onnxruntime"])
            print(f"{count} images: intaglio / onnxruntime {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
