"""Make the model files of the latency benchmark, float and quantized, ours and the peers', in a cache folder.

Usage: python benchmarks/models.py [--models mobilenet_v2,resnet_8] [-o build/bench-models]

For each network of `networks.py`: NAME.onnx (float), NAME.intaglio (ours, target cpu-int8), NAME.ort.onnx (ONNX
Runtime's quantize_static: QDQ, weights s8 per channel, activations u8), NAME.ort-u8.onnx (the same without the
QuantizeLinear at its input and the DequantizeLinear at its output), NAME.ov.xml (nncf.quantize, default preset).
Existing files are not made again.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from networks import NETWORKS, Network, build, samples

from intaglio.bench.quantizers import quantize_onnxruntime, quantize_openvino, strip_ends

CACHE = Path(__file__).resolve().parents[1] / "build" / "bench-models"
CALIBRATION = 16


def write_float(network: Network, path: Path) -> None:
    """Write the float network as ONNX."""
    import onnx
    import torch

    torch.onnx.export(
        build(network),
        (torch.zeros(network.shape),),
        str(path),
        input_names=["input"],
        output_names=["output"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    proto = onnx.load(path)
    for node in proto.graph.node:  # as ONNX's own operator, which ONNX Runtime quantizes
        if node.op_type == "ReduceMean" and all(a.i == 1 for a in node.attribute if a.name == "keepdims"):
            node.CopyFrom(onnx.helper.make_node("GlobalAveragePool", node.input[:1], node.output, node.name))
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def write_program(model: Path, data: np.ndarray, path: Path) -> None:
    """Quantize the float network and write our Program."""
    import intaglio as ig

    ig.quantize(ig.load(model), data, target="cpu-int8", calibrator="max").lower().save(path)


def paths(name: str, folder: Path = CACHE) -> dict[str, Path]:
    """Return the paths of a network's files, by the engine that reads them."""
    kinds = {"float": "onnx", "program": "intaglio", "ort": "ort.onnx", "ort-u8": "ort-u8.onnx", "openvino": "ov.xml"}
    return {kind: folder / f"{name}.{suffix}" for kind, suffix in kinds.items()}


def make(name: str, folder: Path = CACHE) -> dict[str, Path]:
    """Make missing files; name and skip a tool that fails or is not installed."""
    network, files = NETWORKS[name], paths(name, folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not files["float"].exists():
        write_float(network, files["float"])
    data = samples(network, CALIBRATION)
    fed = [{"input": x[None]} for x in data]
    makers: dict[str, Callable[[Path], None]] = {
        "program": lambda path: write_program(files["float"], data, path),
        "ort": lambda path: quantize_onnxruntime(files["float"], fed, path),
        "ort-u8": lambda path: strip_ends(files["ort"], path),
        "openvino": lambda path: quantize_openvino(files["float"], fed, path),
    }
    for kind, maker in makers.items():
        if files[kind].exists():
            continue
        begin = time.perf_counter()
        try:
            maker(files[kind])
        except Exception as error:  # another tool may fail; the other files do not depend on it
            files[kind].unlink(missing_ok=True)
            print(f"{name}: {kind} could not be made: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        else:
            print(f"{files[kind]}: {time.perf_counter() - begin:.1f} s", flush=True)
    return {kind: path for kind, path in files.items() if path.exists()}


def main() -> None:
    """Make the files of the requested networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, default=CACHE)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.models.split(","):
        make(name, args.output)


if __name__ == "__main__":
    main()
