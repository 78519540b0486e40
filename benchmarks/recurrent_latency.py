"""Compare the latency of LSTM and GRU layers with ONNX Runtime's float and dynamic-int8 layers: batch 1, one thread.

Usage: python benchmarks/recurrent_latency.py [--layers LSTM,GRU] [--units 128] [--inputs 128] [--steps 50]
           [--rounds 40] [--machine host] [--profile] [--page FILE.md]

The engines run the same layer in turns, and the least time of each is taken: other load on the machine makes runs
longer, never shorter. Our inputs and outputs are integers; those of the others are float, as `quantize_dynamic` has it.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import quantize_dynamic
from torch import nn

import intaglio as ig
from intaglio.bench.comparison import machine_facts

TURN = 10  # runs of an engine before it is another's turn


class Layer(nn.Module):
    """One recurrent layer; its hidden states are the output."""

    def __init__(self, kind: str, inputs: int, units: int) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(inputs, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Hidden states, (N, steps, units), of data (N, steps, inputs)."""
        states: torch.Tensor = self.layer(x)[0]
        return states


def session(path: Path) -> onnxruntime.InferenceSession:
    """Open a file for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def least_times(engines: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Run the engines in turns; the least microseconds of each."""
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for name, run in engines.items():
            for _ in range(TURN):
                begin = time.perf_counter_ns()
                run()
                least[name] = min(least[name], (time.perf_counter_ns() - begin) / 1000)
    return least


def measure(kind: str, args: argparse.Namespace, folder: Path) -> tuple[dict[str, float], dict[str, object]]:
    """Build one layer for all engines, check ours against the interpreter, and time them."""
    torch.manual_seed(0)
    module = Layer(kind, args.inputs, args.units).eval()
    x: NDArray[np.float32] = np.random.default_rng(0).normal(size=(8, args.steps, args.inputs)).astype(np.float32)
    real, dynamic = folder / f"{kind}.onnx", folder / f"{kind}_dynamic.onnx"
    torch.onnx.export(module, (torch.as_tensor(x[:1]),), real, dynamo=False, input_names=["x"])
    quantize_dynamic(real, dynamic)
    program = ig.quantize(ig.load(real), x, target="cpu-int8").lower()
    native = ig.compile(program, args.machine, folder / kind, threads=1)
    codes = program.quantize_inputs(x[:1])
    if not np.array_equal(native.run_int(*codes), program.run_int(*codes)):
        raise SystemExit(f"{kind}: the compiled program differs from the interpreter")
    sessions = {"ONNX Runtime float": session(real), "ONNX Runtime dynamic int8": session(dynamic)}
    feed = {"x": x[:1]}
    engines: dict[str, Callable[[], object]] = {"intaglio int8": native.prepare(*codes).run}
    for name, opened in sessions.items():
        engines[name] = lambda opened=opened: opened.run(None, feed)  # type: ignore[misc]
    if args.profile:
        for step in native.profile(*codes):
            print(f"  {step.kind:12} {step.nanoseconds / 1000:8.1f} us  {step.kernel}")
    return least_times(engines, args.rounds), machine_facts(native)


def main() -> None:
    """Measure the requested layers, and print or write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=lambda text: text.split(","), default=["LSTM", "GRU"])
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--inputs", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--machine", default="host")
    parser.add_argument("--profile", action="store_true", help="print the time of every step of ours too")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the table for benchmarks/results")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows: list[str] = []
    facts: dict[str, object] = {}
    for kind in args.layers:
        with tempfile.TemporaryDirectory() as folder:
            times, facts = measure(kind, args, Path(folder))
        own = times["intaglio int8"]
        cells = [f"{own:.0f}", *(f"{t:.0f} ({t / own:.2f})" for name, t in times.items() if name != "intaglio int8")]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    text = [
        f"# Latency of recurrent layers, {datetime.now(timezone.utc):%Y-%m-%d}",
        "",
        f"{facts['processor']}, {facts['processors']} processors, {facts['system']}; machine {facts['machine']}; "
        f"onnxruntime {onnxruntime.__version__}.",
        f"`{' '.join(['python', *sys.argv])}`",
        "",
        f"{args.units} units, {args.inputs} inputs, {args.steps} steps, batch 1, one thread; least microseconds of "
        f"{args.rounds * TURN} runs of each in turns, and in brackets how many times as long as ours.",
        "",
        "| layer | intaglio int8 | ONNX Runtime float | ONNX Runtime dynamic int8 |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    if args.page:
        args.page.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
