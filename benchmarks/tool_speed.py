"""Measure seconds and memory of each step of the tool: deep networks of small layers, ResNet-50, weights beyond 2 GB.

Usage: python benchmarks/tool_speed.py [CASE ...] [--profile FOLDER]

Deep networks have small tensors, so that the tool is measured and not the arithmetic of the network. Each case runs in
a process of its own, on one thread. Seconds are processor time, with wall time in brackets; peak memory is that of the
process, imports included. Each line ends with the processor time of ten million additions in Python (about 0.4 s on an
idle processor of 3 GHz), before and after the case: where it is longer, other processes slowed the case down as well.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 4
PICTURE, TOKENS = (1, CHANNELS, 4, 4), (1, 6, 8)
PLAIN = {"calibrator": "max", "equalize": False, "bias_correction": False}


class Writer:
    """Collects the nodes and constants of an ONNX model."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        """Add a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        """Add a random constant of a normal distribution."""
        return self.constant(self.rng.normal(scale=scale, size=shape).astype(np.float32))

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{operator}_{name}", **attributes))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> str:
        """Add a convolution that keeps the spread of its input behind a ReLU."""
        weight = self.normal(outputs, inputs, kernel, kernel, scale=(2 / (inputs * kernel * kernel)) ** 0.5)
        pads, strides = [kernel // 2] * 4, [stride] * 2
        return self.node("Conv", x, weight, self.normal(outputs, scale=0.1), pads=pads, strides=strides)

    def write(self, path: Path, result: str, shape: tuple[int, ...]) -> None:
        """Write the model with the input x."""
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", *shape[1:]))]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)


def chain(path: Path, layers: int) -> None:
    """Write convolutions with ReLU, one behind another."""
    writer, x = Writer(), "x"
    for _ in range(layers):
        x = writer.node("Relu", writer.conv(x, CHANNELS, CHANNELS))
    writer.write(path, x, PICTURE)


def residual(path: Path, layers: int) -> None:
    """Write residual blocks of two convolutions."""
    writer, x = Writer(), "x"
    for _ in range(layers // 2):
        y = writer.node("Relu", writer.conv(x, CHANNELS, CHANNELS))
        y = writer.node("Mul", writer.conv(y, CHANNELS, CHANNELS), writer.normal(1, scale=0.1))
        x = writer.node("Relu", writer.node("Add", y, x))
    writer.write(path, x, PICTURE)


def branches(path: Path, layers: int) -> None:
    """Write blocks of four branches that are concatenated, and a convolution behind each."""
    writer, x = Writer(), "x"
    for _ in range(layers // 5):
        parts = [writer.node("Relu", writer.conv(x, CHANNELS, CHANNELS, 1 if n % 2 else 3)) for n in range(4)]
        x = writer.conv(writer.node("Concat", *parts, axis=1), 4 * CHANNELS, CHANNELS, 1)
    writer.write(path, x, PICTURE)


def transformer(path: Path, layers: int) -> None:
    """Write attention blocks of eight products each."""
    writer, x, (_, length, width) = Writer(), "x", TOKENS

    def dense(x: str, inputs: int, outputs: int) -> str:
        product = writer.node("MatMul", x, writer.normal(inputs, outputs, scale=inputs**-0.5))
        return writer.node("Add", product, writer.normal(outputs, scale=0.1))

    def heads(x: str, order: list[int]) -> str:
        return writer.node(
            "Transpose", writer.node("Reshape", x, writer.constant([0, length, 2, width // 2])), perm=order
        )

    def normalized(x: str) -> str:
        return writer.node("LayerNormalization", x, writer.normal(width), writer.normal(width), axis=-1)

    for _ in range(layers // 8):
        y = normalized(x)
        q, k, v = (heads(dense(y, width, width), order) for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        mixed = writer.node("MatMul", writer.node("Softmax", writer.node("MatMul", q, k), axis=-1), v)
        mixed = writer.node(
            "Reshape", writer.node("Transpose", mixed, perm=[0, 2, 1, 3]), writer.constant([0, length, width])
        )
        x = writer.node("Add", x, dense(mixed, width, width))
        y = dense(normalized(x), width, 2 * width)
        x = writer.node("Add", x, dense(writer.node("Mul", y, writer.node("Sigmoid", y)), 2 * width, width))
    writer.write(path, x, TOKENS)


def resnet50(path: Path, layers: int) -> None:
    """Write ResNet-50 for pictures of 224 x 224, batch norms folded. Source: He et al. 2015, arXiv:1512.03385."""
    writer = Writer()
    x, channels = writer.node("Relu", writer.conv("x", 3, 64, 7, 2)), 64
    x = writer.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            width, stride = 64 << stage, 2 if stage and not block else 1
            y = writer.node("Relu", writer.conv(x, channels, width, 1))
            y = writer.conv(writer.node("Relu", writer.conv(y, width, width, 3, stride)), width, 4 * width, 1)
            x = x if block else writer.conv(x, channels, 4 * width, 1, stride)
            x, channels = writer.node("Relu", writer.node("Add", y, x)), 4 * width
    x = writer.node("Flatten", writer.node("GlobalAveragePool", x))
    x = writer.node("Gemm", x, writer.normal(2048, 1000, scale=0.02), writer.normal(1000, scale=0.1))
    writer.write(path, x, (1, 3, 224, 224))


def external(path: Path, layers: int) -> None:
    """Write products of 376 MB of weights each, which lie in a file of their own in a subfolder."""
    width, writer, x = 9700, Writer(), "x"
    path.with_name("weights").mkdir()
    with open(path.with_name("weights") / "all.bin", "wb") as file:
        row = writer.rng.normal(scale=width**-0.5, size=width).astype(np.float32)
        for layer in range(layers):
            weight = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[width, width])
            weight.data_location = TensorProto.EXTERNAL
            facts = {"location": "weights/all.bin", "offset": file.tell(), "length": 4 * width * width}
            for key, value in facts.items():
                weight.external_data.add(key=key, value=str(value))
            for shift in range(width):
                file.write(np.roll(row, shift).tobytes())
            writer.constants.append(weight)
            x = writer.node("Relu", writer.node("MatMul", x, weight.name))
    writer.write(path, x, (1, width))


@dataclass(frozen=True)
class Case:
    """A network and what is done with it.

    Args:
        write: writes it, given a path and a number of layers.
        layers: that number.
        shape: of its input.
        choices: of `intaglio.quantize`; None: it is only loaded.
        samples: of calibration.
    """

    write: Callable[[Path, int], None]
    layers: int
    shape: tuple[int, ...]
    choices: dict[str, Any] | None = field(default_factory=dict)
    samples: int = 32


CASES = {
    "1,000 convolutions, defaults": Case(chain, 1000, PICTURE),
    "4,000 nodes, chain, max": Case(chain, 2000, PICTURE, PLAIN),
    "4,000 nodes, residual, max": Case(residual, 1600, PICTURE, PLAIN),
    "4,000 nodes, concatenations, max": Case(branches, 2000, PICTURE, PLAIN),
    "4,000 nodes, transformer, max": Case(transformer, 1144, TOKENS, PLAIN),
    "ResNet-50 at 224, max": Case(resnet50, 0, (1, 3, 224, 224), PLAIN, 8),
    "ResNet-50 at 224, defaults": Case(resnet50, 0, (1, 3, 224, 224), {}, 8),
    "2.3 GB of external weights, load": Case(external, 6, (1, 9700), None),
}


def measure(case: Case, profile: str | None) -> None:
    """Run one case in this process and print its figures."""
    import intaglio as ig
    import intaglio.api
    from intaglio.codegen.build import generate
    from intaglio.codegen.machine import machine

    before = additions()
    profiler = cProfile.Profile() if profile else nullcontext()

    def step(what: str, function: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        with profiler:
            result = function()
        print(f"{what} {time.process_time() - cpu:.1f} ({time.perf_counter() - wall:.1f})", end=", ", flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        case.write(path, case.layers)
        graph = step("load", lambda: ig.load(path))
        print(f"{len(graph.nodes)} nodes", end=", ")
        if case.choices is not None:
            data = np.random.default_rng(1).normal(size=(case.samples, *case.shape[1:])).astype(np.float32)
            quantized = step("quantize", lambda: ig.quantize(graph, data, **case.choices))
            program = step("lower", quantized.lower)
            print(f"peak so far {peak():.0f} MB", end=", ")
            step("generate", lambda: generate(program, machine("host")))
    print(f"peak {peak():.0f} MB; ten million additions {before:.2f}, {additions():.2f}", flush=True)
    if isinstance(profiler, cProfile.Profile):
        profiler.dump_stats(profile)


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def additions() -> float:
    """Return the processor time of ten million additions."""
    start, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - start


def main() -> None:
    """Run the cases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"a part of a name: {', '.join(CASES)}; default: all")
    parser.add_argument("--profile", metavar="FOLDER", type=Path, help="write a profile of each case here")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        measure(CASES[args.here], str(args.profile) if args.profile else None)
        return
    for name in CASES:
        if not args.cases or any(part in name for part in args.cases):
            print(f"{name}: ", end="", flush=True)
            command = [sys.executable, __file__, "--here", name]
            if args.profile:
                command += ["--profile", str(args.profile / f"{name.replace(' ', '-')}.prof")]
            subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
