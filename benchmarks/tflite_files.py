"""The MLPerf Tiny networks as .tflite files: integers, accuracy, microcontrollers, NPU.

INTAGLIO_DATA=../shared/data python benchmarks/tflite_files.py [NETWORK ...]

For each network: the file that Intaglio writes against LiteRT's reference and default kernels, TensorFlow Lite Micro
(`pip install tflite-micro`) and the compiler of Ethos-U (`pip install ethos-u-vela`); and accuracy beside the published
int8 file and that of ai-edge-quantizer's recipe `static_wi8_ai8`, calibrated on the same samples. What is not installed
is left out. Accuracy is that of LiteRT's default kernels on the same test samples for every file. There are no labels
for person detection, and the sounds of anomaly detection are no part of the data: there the figure is the SQNR against
the float file, on photos, and on noise with the mean and deviation of the inputs that came with the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

import intaglio as ig
from intaglio.data import open_data

DATA = Path(os.environ.get("INTAGLIO_DATA", "../shared/data"))
TINY = DATA / "mlperf-tiny"
CALIBRATION, CHECKED = 256, 4
Array = NDArray[Any]


@dataclass
class Network:
    """A network with real inputs: for calibration, for the test, and labels of the latter, if there are some."""

    float_file: str
    published: str
    calibration: Array
    test: Array
    labels: Array | None


def images(path: str, count: int, scale: float = 1.0) -> tuple[Array, Array]:
    """Return the first images of a descriptor, channels last, and their labels."""
    batches = list(open_data(DATA / path).limit(count).batches(64))
    x = np.concatenate([np.asarray(batch[0]) for batch in batches]).astype(np.float32)
    return x * np.float32(scale), np.concatenate([np.asarray(batch[1]) for batch in batches])


def classification() -> Network:
    """ResNet-8 on CIFAR-10."""
    calibration, _ = images("cifar10/train-tiny.toml", CALIBRATION)
    test, labels = images("cifar10/test-tiny.toml", 10_000)
    return Network("pretrainedResnet.tflite", "pretrainedResnet_quant.tflite", calibration, test, labels)


def keywords() -> Network:
    """DS-CNN; its inputs are codes of the published file. The first ones calibrate, the others are the test."""
    found, published = np.load(TINY / "kws01.npz"), session(TINY / "kws_ref_model.tflite")
    scale, zero_point = published.get_input_details()[0]["quantization"]
    x = ((found["x_int8"].astype(np.float32) - zero_point) * np.float32(scale)).reshape(-1, 49, 10, 1)
    names = ("kws_ref_model_float32.tflite", "kws_ref_model.tflite")
    return Network(*names, x[:CALIBRATION], x[CALIBRATION:], found["y"][CALIBRATION:])


def persons() -> Network:
    """MobileNetV1 0.25 on photos of flowers, of which none has a label for persons."""

    def photos(path: str) -> Array:
        x, _ = images(path, CALIBRATION)
        x = x if x.shape[-1] == 3 else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        low, high = x.min(), x.max()
        return ((x - low) / (high - low))[:, 16:112, 16:112]

    test = photos("flowers/test-128.toml")
    return Network("vww_96_float.tflite", "vww_96_int8.tflite", photos("flowers/calib-128.toml"), test, None)


def anomalies() -> Network:
    """The autoencoder on noise like the inputs that came with the file."""
    given = np.load(TINY / "ad01_fp32_litert_io.npz")["input"].reshape(-1, 640)
    rng = np.random.default_rng(0)
    x = rng.normal(given.mean(), given.std(), (2 * CALIBRATION, 640)).astype(np.float32)
    return Network("ad01_fp32.tflite", "ad01_int8.tflite", x[:CALIBRATION], x[CALIBRATION:], None)


NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet8": classification, "kws": keywords, "vww": persons, "ad": anomalies,
}  # fmt: skip


def session(content: Path | bytes, *, reference: bool = False) -> Any:
    """Load a file; with LiteRT's reference kernels, or its default ones."""
    kernels = litert.OpResolverType.BUILTIN_REF if reference else litert.OpResolverType.AUTO
    content = content if isinstance(content, bytes) else content.read_bytes()
    found = litert.Interpreter(
        model_content=content, experimental_op_resolver_type=kernels, experimental_preserve_all_tensors=reference
    )
    found.allocate_tensors()
    return found


def outputs(content: Path | bytes, x: Array) -> Array:
    """Real outputs, a row for each sample."""
    interpreter = session(content)
    given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for sample in x:
        interpreter.set_tensor(given["index"], on_grid(given, sample).reshape(given["shape"]))
        interpreter.invoke()
        y, (scale, zero_point) = interpreter.get_tensor(result["index"]), result["quantization"]
        rows.append((y.astype(np.float32) - zero_point) * (scale or 1.0))
    return np.concatenate(rows).reshape(len(x), -1)


def on_grid(end: Any, x: Array) -> Array:
    """Real numbers as an input takes them."""
    scale, zero_point = end["quantization"]
    if not scale:
        return x.astype(np.float32)
    info = np.iinfo(end["dtype"])
    return np.clip(np.rint(x / np.float32(scale)) + zero_point, info.min, info.max).astype(end["dtype"])


def figure(network: Network, content: Path | bytes, wanted: Array) -> str:
    """Top-1, or the SQNR against the float file."""
    try:
        found = outputs(content, network.test)
    except RuntimeError as error:
        return f"is not loaded by LiteRT ({str(error).splitlines()[0][:120]})"
    if network.labels is not None:
        return f"{100 * np.mean(found.argmax(1) == network.labels):.2f} %"
    noise = np.square(wanted - found).sum()
    return f"{10 * np.log10(np.square(wanted - wanted.mean()).sum() / noise):.1f} dB"


def integers(content: bytes, program: Any, x: Array) -> str:
    """Elements that differ from the Program: all tensors of the reference kernels, outputs of the others."""
    reference, default = session(content, reference=True), session(content)
    micro = micro_session(content)
    differing = elements = micro_differing = results = most = 0
    for sample in x:
        (codes,) = program.quantize_inputs(sample[None])
        traced = program.trace(codes)
        for interpreter in (reference, default):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], codes)
            interpreter.invoke()
        places = {row["name"]: row["index"] for row in reference.get_tensor_details()}
        for node in program.nodes:
            ours = traced[node.output]
            differing += int(np.count_nonzero(ours != reference.get_tensor(places[node.output])))
            elements += ours.size
        ours = traced[program.outputs[0]]
        theirs = default.get_tensor(default.get_output_details()[0]["index"])
        most = max(most, int(np.abs(ours.astype(int) - theirs).max()))
        results += ours.size
        if micro is not None:
            micro.set_input(codes, 0)
            micro.invoke()
            micro_differing += int(np.count_nonzero(micro.get_output(0) != ours))
    words = f"reference kernels: {differing} of {elements} elements differ; default kernels: outputs up to {most} steps"
    return words if micro is None else f"{words}; TFLite Micro: {micro_differing} of {results} outputs differ"


def micro_session(content: bytes) -> Any:
    """Load a file in TFLite Micro; None if it is not installed."""
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError:
        return None
    return runtime.Interpreter.from_bytes(content)


def npu(path: Path) -> str:
    """Say how many operators Vela gives to the NPU; empty if it is not installed."""
    words = ["vela", str(path), "--accelerator-config", "ethos-u55-128", "--output-dir", str(path.parent / "vela")]
    try:
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return ""
    return "Vela: " + "; ".join(line.strip() for line in told.splitlines() if "PU operators =" in line)


def other_quantizer(path: Path, x: Array) -> bytes | None:
    """Quantize a float file with ai-edge-quantizer; None if it is not installed, or the file has integer weights."""
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        return None
    shape = session(path).get_input_details()[0]["shape"]
    if any(row["dtype"] == np.int8 for row in session(path).get_tensor_details()):
        return None

    samples = [{"x": sample.reshape(shape)} for sample in x]
    tool = quantizer.Quantizer(with_signature(path), recipe.static_wi8_ai8())
    calibration = tool.calibrate({"serve": samples}, num_threads=1)
    return bytes(tool.quantize(calibration, enable_progress_report=False).quantized_model)


def with_signature(path: Path) -> bytes:
    """Give a file the signature that ai-edge-quantizer needs: `serve`, input `x`, output `y`."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    ends = []
    for name, places in (("x", model.subgraphs[0].inputs), ("y", model.subgraphs[0].outputs)):
        end = schema.TensorMapT()
        end.name, end.tensorIndex = name, int(places[0])
        ends.append([end])
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serve", 0
    signature.inputs, signature.outputs = ends
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main(names: list[str]) -> None:
    """Print the figures of each network."""
    for name in names or NETWORKS:
        network = NETWORKS[name]()
        path = TINY / network.float_file
        quantized = ig.quantize(ig.load(path), network.calibration, target="tflite-int8")
        program = quantized.lower()
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "model.tflite"
            quantized.export(written)
            content = written.read_bytes()
            print(f"{name}: {integers(content, program, network.test[:CHECKED])}\n  {npu(written)}", flush=True)
        wanted = outputs(path, network.test)
        files = {"float": path, "Intaglio": content, "published int8": TINY / network.published}
        theirs = other_quantizer(path, network.calibration)
        if theirs is not None:
            files["ai-edge-quantizer"] = theirs
        if network.labels is None:
            del files["float"]
        row = [f"{label} {figure(network, file, wanted)}" for label, file in files.items()]
        print(f"  {len(network.test)} samples: {', '.join(row)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
