"""Compare the accuracy of integer programs with other quantizers: same networks, same calibration data, 8 bits.

Usage: python benchmarks/accuracy_peers.py [--data DIR] [--only PATTERN] [--limit N] [--aimet PYTHON] -o RUN.json
       python benchmarks/accuracy_page.py RUN.json > benchmarks/results/DATE-accuracy.md

Ours: the integer programs of `cpu-int8` (one weight scale per output channel) and `int8-per-tensor`. Peers: ONNX
Runtime's quantize_static with min-max and with percentile, run by ONNX Runtime; NNCF's quantize, run by OpenVINO;
aimet-onnx's simulation with min-max, with and without its cross-layer equalization, if `--aimet` gives a Python that
has it. Each peer gets the original file and our prepared graph. Rows that RUN.json already has are not measured again.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import CASES, Case

import intaglio as ig
from intaglio.bench.quantizers import quantize_onnxruntime, quantize_openvino
from intaglio.evaluation import FloatStage
from intaglio.evaluation.model_stages import data_for, stage_of
from intaglio.files import whole_file

GRANULARITIES = ("channel", "tensor")
TARGETS = {"channel": "cpu-int8", "tensor": "int8-per-tensor"}
MINUTES = 60  # limit for a peer's subprocess
TWICE = ("foreign-int8/ort/resnet20_fp32.onnx",)  # the same network as cifar10/resnet20.onnx


@dataclass
class Network:
    """One network with its data in memory and its files for the peers.

    Args:
        graph: our prepared graph.
        files: "as it is" and "prepared" -> ONNX file.
        name: name of the only input.
        calibration, test: samples along axis 0, in the layout of the files' input.
        labels: labels of `test`.
        predictions: predictions of the float network.
    """

    case: Case
    graph: ig.Graph
    files: dict[str, Path]
    name: str
    calibration: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True)
class Contender:
    """A quantizer on one form of a network.

    Args:
        tool: name of the tool.
        per: weight scales per "channel" or per "tensor".
        form: "as it is" or "prepared".
        predict: (network, scratch folder) -> predicted classes of the test samples.
    """

    tool: str
    per: str
    form: str
    predict: Callable[[Network, Path], np.ndarray]

    @property
    def name(self) -> str:
        """Return a name that is unique within a network."""
        return f"{self.tool}, per {self.per}, {self.form}"


def contenders(aimet: str | None) -> Iterator[Contender]:
    """List all contenders."""
    for per in GRANULARITIES:
        yield Contender("Intaglio", per, "prepared", partial(_ours, per=per))
        for form in ("as it is", "prepared"):
            for method in ("MinMax", "Percentile"):
                run = partial(_onnxruntime, per=per, form=form, method=method)
                yield Contender(f"ONNX Runtime, {method}", per, form, run)
            yield Contender("NNCF", per, form, partial(_nncf, per=per, form=form))
            for equalize in (False, True) if aimet else ():
                tool = "AIMET, equalized" if equalize else "AIMET"
                run = partial(_aimet, python=str(aimet), per=per, form=form, equalize=equalize)
                yield Contender(tool, per, form, run)


def _ours(network: Network, folder: Path, *, per: str) -> np.ndarray:
    program = ig.quantize(network.graph, network.calibration, target=TARGETS[per], samples=None).lower()
    return _classes(stage_of(program, "native").run(network.test)[0])


def _onnxruntime(network: Network, folder: Path, *, per: str, form: str, method: Any) -> np.ndarray:
    import onnxruntime as ort

    data = [{network.name: x[None]} for x in network.calibration]
    path = folder / "ort.onnx"
    quantize_onnxruntime(network.files[form], data, path, per_channel=per == "channel", method=method)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.concatenate([_classes(session.run(None, {network.name: x[None]})[0]) for x in network.test])


def _nncf(network: Network, folder: Path, *, per: str, form: str) -> np.ndarray:
    import openvino as ov

    data = [{network.name: x[None]} for x in network.calibration]
    path = folder / "nncf.xml"
    quantize_openvino(network.files[form], data, path, per_channel=per == "channel")
    model = ov.Core().read_model(path)
    model.reshape({0: [1, *network.test.shape[1:]]})
    run = ov.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([_classes(run([x[None]])[0]) for x in network.test])


def _aimet(network: Network, folder: Path, *, python: str, per: str, form: str, equalize: bool) -> np.ndarray:
    np.savez(folder / "arrays.npz", calibration=network.calibration, test=network.test)
    worker = Path(__file__).with_name("aimet_worker.py")
    arguments = [str(network.files[form]), str(folder / "arrays.npz"), str(folder / "predictions.npy"), per]
    done = subprocess.run(
        [python, str(worker), *arguments, *(["equalize"] if equalize else [])],
        capture_output=True,
        text=True,
        check=False,
        timeout=MINUTES * 60,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return np.load(folder / "predictions.npy")


def _classes(y: np.ndarray) -> np.ndarray:
    return np.asarray(y).reshape(len(y), -1).argmax(axis=1)


def prepare(case: Case, folder: Path, limit: int | None, scratch: Path) -> Network:
    """Load a network and its data."""
    assert case.evaluation is not None
    graph = ig.load(folder / case.model)
    graph.save(scratch / "prepared.onnx")
    files = {"as it is": folder / case.model, "prepared": scratch / "prepared.onnx"}
    calibration = _arrays(data_for(graph, folder / case.calibration, case.samples))[0]
    test, labels = _arrays(data_for(graph, folder / case.evaluation, limit, labels=True))
    predictions = _classes(FloatStage(graph).run(test)[0])
    return Network(case, graph, files, str(graph.inputs[0].name), calibration, test, labels, predictions)


def _arrays(data: Any) -> tuple[np.ndarray, np.ndarray]:
    parts = [(x, y) for x, y in data.batches(100)]
    labels = [y for _, y in parts if y is not None]
    return np.concatenate([x for x, _ in parts]), np.concatenate(labels) if labels else np.zeros(0, np.int64)


def measure(network: Network, contender: Contender) -> dict[str, Any]:
    """Measure one row."""
    begin = time.perf_counter()
    row: dict[str, Any] = {"tool": contender.tool, "per": contender.per, "form": contender.form}
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = contender.predict(network, Path(folder))
        except Exception as error:  # a peer may fail; the other rows do not depend on it
            row["error"] = f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"
        else:
            row["top1"] = 100.0 * float((found == network.labels).mean())
            row["agreement"] = 100.0 * float((found == network.predictions).mean())
    return {**row, "seconds": round(time.perf_counter() - begin, 1)}


def versions(aimet: str | None) -> dict[str, str]:
    """Return the versions of the installed tools, including those in AIMET's environment."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("intaglio", "torch", "onnx", "onnxruntime", "nncf", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if aimet:
        ask = "from importlib.metadata import version; print(version('aimet-onnx'))"
        found["aimet-onnx"] = subprocess.run([aimet, "-c", ask], capture_output=True, text=True).stdout.strip()
    return found


def main() -> None:
    """Measure the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("INTAGLIO_DATA", "../shared/data")))
    parser.add_argument("--only", default="*", help="pattern of networks; default: all with labelled data")
    parser.add_argument("--limit", type=int, help="maximum number of test samples")
    parser.add_argument("--aimet", metavar="PYTHON", help="Python interpreter that has aimet-onnx")
    parser.add_argument("--tool", default="*", help="pattern of tool names")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    run: dict[str, Any] = json.loads(args.output.read_text()) if args.output.exists() else {"networks": {}}
    run["versions"] = versions(args.aimet)
    for case in CASES:
        if case.evaluation is None or case.model in TWICE or not fnmatch.fnmatch(case.model, args.only):
            continue
        title = f"{case.model}, limit {args.limit}"
        rows = run["networks"].get(title, {}).get("rows", {})
        missing = [c for c in contenders(args.aimet) if c.name not in rows and fnmatch.fnmatch(c.tool, args.tool)]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            network = prepare(case, args.data, args.limit, Path(scratch))
            real = 100.0 * float((network.predictions == network.labels).mean())
            facts = {"model": case.model, "calibration": len(network.calibration), "test": len(network.test)}
            run["networks"][title] = {**facts, "float": real, "rows": rows}
            print(f"{case.model}: float {real:.2f} on {len(network.test)}", file=sys.stderr, flush=True)
            for contender in missing:
                rows[contender.name] = measure(network, contender)
                with whole_file(args.output) as written:
                    written.write_text(json.dumps(run, indent=1), encoding="utf-8")
                print(f"  {contender.name}: {rows[contender.name]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
