"""Compare the compiled program with ONNX Runtime: the same network, calibration pictures, test pictures and threads."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from intaglio.bench.comparison import Comparison, compare_engines
from intaglio.bench.peers import PeerModels
from intaglio.bench.quantizers import quantize_onnxruntime, strip_ends
from intaglio.codegen.native import NativeProgram
from intaglio.report import print_table
from intaglio.report.words import latency

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
PEER = "onnxruntime"
HEADINGS = ("inputs and outputs", "engine", "top1", "latency", "times ours")


def print_beside_onnxruntime(
    native: NativeProgram, network: Path, calibration: Images, test: tuple[Images, Labels]
) -> None:
    """Print accuracy and latency, float ends beside float ends and integer ends beside integer ends.

    Args:
        native: the compiled Program; its threads are used for both.
        network: the float network as ONNX.
        calibration: inputs with which ONNX Runtime quantizes the network.
        test: inputs and classes.
    """
    x, y = test
    accuracy = {"intaglio int8": _top1(native.run(x), y)}
    with tempfile.TemporaryDirectory() as folder:
        models = PeerModels(network)
        if find_spec(PEER):
            models = _quantized(network, calibration, Path(folder))
            accuracy |= {"onnxruntime fp32": _top1_of(network, x, y)}
            accuracy |= {"onnxruntime int8": _top1_of(models.onnxruntime, x, y)} if models.onnxruntime else {}
        comparison = compare_engines({1: native}, [PEER], models, (x[:1],))
    print_table("one picture, one thread", HEADINGS, _rows(comparison, accuracy))
    for name, reason in comparison.absent.items():
        print(f"{name} not timed: {reason}")
    print("times ours: its latency divided by ours with the same inputs and outputs, float or integers")


def _rows(comparison: Comparison, accuracy: dict[str, str]) -> list[tuple[str, ...]]:
    rows = sorted(comparison.rows, key=lambda row: row.timing.engine.ends)  # a stable sort: ours stays first
    return [
        (
            row.timing.engine.ends,
            row.timing.engine.title,
            accuracy.get(row.timing.engine.title, "-"),
            latency(row.timing.median),
            "-" if row.ratio is None else f"{row.ratio.value:.2f}",
        )
        for row in rows
    ]


def _quantized(network: Path, calibration: Images, folder: Path) -> PeerModels:
    """Quantize with ONNX Runtime's own tool."""
    int8, u8 = folder / "int8.onnx", folder / "u8.onnx"
    quantize_onnxruntime(network, [{"input": sample[None]} for sample in calibration], int8)
    strip_ends(int8, u8)
    return PeerModels(network, int8, u8)


def _top1_of(network: Path, x: Images, y: Labels) -> str:
    import onnxruntime as ort

    session = ort.InferenceSession(network, providers=["CPUExecutionProvider"])
    return _top1(session.run(None, {"input": x})[0], y)


def _top1(scores: object, y: Labels) -> str:
    return f"{100 * np.mean(np.asarray(scores).argmax(1) == y):.2f}"
