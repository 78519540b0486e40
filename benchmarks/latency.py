"""Compare the latency of our compiled programs with other engines at batch 1, in one process, in turns.

Usage: python benchmarks/latency.py [--models mobilenet_v2,resnet_8] [--threads 1,2] [--peers onnxruntime,openvino]
           [--machine host] [--rounds 7] [--seconds 0.15] [--fresh] [--profile] [--json FILE] [--page FILE.md]

Results are medians with quartiles. Models that are missing in build/bench-models are made first
(benchmarks/models.py). The quoted ratio is the time of the best int8 peer (ONNX Runtime or OpenVINO, with float or
integer inputs and outputs) divided by our time with integer inputs and outputs; the table has both. `docs/bench.md`
describes the method.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from latency_page import page
from models import CACHE, make
from networks import NETWORKS, build, samples

import intaglio as ig
from intaglio.bench.comparison import compare_engines, machine_facts
from intaglio.bench.peak import measure_peak
from intaglio.bench.peers import PEERS, PeerModels
from intaglio.bench.result_table import print_comparison, print_steps
from intaglio.codegen.profile import program_macs

DATA = Path(os.environ.get("INTAGLIO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
CHECKED = 4  # samples on which the output is compared with the interpreter's


def measure_model(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Build, check and time one network."""
    network, files = NETWORKS[name], make(name)
    program = ig.load_program(files["program"])
    natives: dict[int, ig.NativeProgram] = {}
    seconds = []
    for threads in args.threads:
        begin = time.perf_counter()
        kept = None if args.fresh else CACHE / "native"
        natives[threads] = ig.compile(program, args.machine, kept, threads=threads, cc=args.cc)
        seconds.append(time.perf_counter() - begin)
    codes = program.quantize_inputs(samples(network, CHECKED, seed=7))
    want = program.run_int(*codes)
    exact = all(np.array_equal(native.run_int(*codes), want) for native in natives.values())
    print(f"{name}: {'bit-exact' if exact else 'NOT BIT-EXACT'}; compiled in {seconds[0]:.1f} s", flush=True)
    litert = DATA / "mlperf-tiny" / network.litert
    models = PeerModels(
        files.get("float"),
        files.get("ort"),
        files.get("ort-u8"),
        files.get("openvino"),
        litert if network.litert and litert.exists() else None,
        build(network) if "torch" in args.peers else None,
    )
    x = (samples(network, 1, seed=8),)
    comparison = compare_engines(natives, args.peers, models, x, rounds=args.rounds, seconds=args.seconds)
    print_comparison(network.title, comparison)
    profiles = []
    for threads, native in natives.items() if args.profile else ():
        peak = measure_peak(native.machine, threads, args.cc)
        steps = native.profile(*(c[:1] for c in codes), peak=peak)
        print_steps(f"{network.title}, {threads} thread{'s' * (threads > 1)}", peak, steps)
        profiles.append({"threads": threads, "peak": peak, "steps": [step.to_json() for step in steps]})
    sys.stdout.flush()
    return {
        "model": name,
        "title": network.title,
        "macs": program_macs(program),
        "exact": exact,
        "compile_seconds": seconds[0] if args.fresh else None,
        "arena_bytes": natives[args.threads[0]].model.arena.nbytes,
        **machine_facts(natives[args.threads[0]]),
        **comparison.to_json(),
        "profiles": profiles,
    }


def commit() -> str:
    """Return the checked-out commit, and whether files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def compiler(cc: str | None) -> str:
    """Return the compiler's version line."""
    from intaglio.codegen.machine import host
    from intaglio.codegen.toolchain import find_compiler

    done = subprocess.run(
        [*find_compiler(host(), cc).command, "--version"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"


def main() -> None:
    """Measure the requested networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(NETWORKS))
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--peers", type=lambda text: [n for n in text.split(",") if n], default=list(PEERS))
    parser.add_argument("--machine", default="host")
    parser.add_argument("--cc")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="seconds per turn")
    parser.add_argument("--fresh", action="store_true", help="compile again and record the compile time")
    parser.add_argument("--profile", action="store_true", help="record the time of every step")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="write the tables for benchmarks/results")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    facts = {"commit": commit(), "compiler": compiler(args.cc), "command": " ".join(["python", *sys.argv])}
    results = []
    for name in args.models:
        results.append(measure_model(name, args))
        if args.json:  # after each network, so that a later failure loses no results
            args.json.write_text(json.dumps({**facts, "results": results}, indent=1))
        if args.page:
            args.page.write_text(page({**facts, "results": results}))


if __name__ == "__main__":
    main()
