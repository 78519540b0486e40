"""Every engine of this machine for one Program, built quickly, and ONNX Runtime's quantizer as a peer."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from intaglio.codegen.build import plan, write
from intaglio.codegen.cache import library_files
from intaglio.codegen.machine import MACHINES, family_of_host, machine, missing
from intaglio.codegen.native import NativeProgram
from intaglio.codegen.toolchain import compile_library
from intaglio.program import Program

HERE = tuple(name for name, m in MACHINES.items() if m.threads and not missing(m))
"""Machines whose code runs on this processor."""

# The settings of ONNX Runtime's quantizer that say what a target says; other targets have no counterpart there.
PEERS: dict[str, dict[str, Any]] = {
    "cpu-int8": {"activation": "QUInt8", "weight": "QInt8", "per_channel": True},
    "mcu-int8": {"activation": "QInt8", "weight": "QInt8", "per_channel": True},
    "tflite-int8": {"activation": "QInt8", "weight": "QInt8", "per_channel": True},
    "int8-symmetric": {"activation": "QInt8", "weight": "QInt8", "per_channel": True, "symmetric": True},
    "int8-per-tensor": {"activation": "QInt8", "weight": "QInt8", "per_channel": False, "symmetric": True},
    "uint8-asymmetric": {"activation": "QUInt8", "weight": "QUInt8", "per_channel": False},
    "int16x8": {"activation": "QInt16", "weight": "QInt8", "per_channel": True, "symmetric": True},
}


class Builder:
    """Compiles many Programs: without optimization, which changes no result, and with precompiled system headers."""

    def __init__(self, folder: Path) -> None:
        header = folder / "headers.h"
        names = [
            "stdint.h",
            "stdlib.h",
            "string.h",
            "pthread.h",
            *(["immintrin.h"] if family_of_host() == "x86" else []),
        ]
        header.write_text("".join(f"#include <{name}>\n" for name in names), encoding="utf-8")
        subprocess.run(
            ["gcc", "-std=c11", "-O0", "-fPIC", "-pthread", "-x", "c-header", str(header), "-o", f"{header}.gch"],
            check=True,
        )
        self.quick = ("-O0", "-include", str(header))

    def build(self, program: Program, name: str, *, optimized: bool = False) -> NativeProgram:
        """The Program for a machine of `HERE`."""
        model = plan(program, machine(name), threads=1)
        running = next(variant for variant in model.all if not missing(variant.machine))
        with tempfile.TemporaryDirectory(prefix="intaglio-networks-") as folder:
            write(library_files(model), Path(folder))
            flags = ("-O3",) if optimized else self.quick
            library = compile_library(Path(folder), model.machine, "gcc", flags=flags)
            return NativeProgram(program, running, library, 1)


def float_outputs(model: onnx.ModelProto, x: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """What ONNX Runtime computes in float."""
    return _outputs(model.SerializeToString(), x)


def peer_outputs(
    model: onnx.ModelProto, target: str, data: dict[str, NDArray[Any]], x: dict[str, NDArray[Any]]
) -> list[NDArray[Any]] | None:
    """What ONNX Runtime computes after its own min-max quantizer; None where that refuses the model."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Once(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [data]

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return self.left.pop() if self.left else None

    chosen = PEERS[target]
    symmetric = chosen.get("symmetric", False)
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="intaglio-peer-") as folder, contextlib.redirect_stdout(None):
            source, out = Path(folder) / "float.onnx", Path(folder) / "qdq.onnx"
            onnx.save(onnx.shape_inference.infer_shapes(_prepared(model, Path(folder) / "prepared.onnx")), source)
            quantize_static(
                source, out, Once(), quant_format=QuantFormat.QDQ, per_channel=chosen["per_channel"],
                activation_type=getattr(QuantType, chosen["activation"]),
                weight_type=getattr(QuantType, chosen["weight"]),
                extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": chosen["weight"] == "QInt8"},
            )  # fmt: skip
            return _outputs(out.read_bytes(), x)
    except Exception as refused:
        if isinstance(refused, (KeyboardInterrupt, MemoryError)):
            raise
        return None
    finally:
        logging.disable(logging.NOTSET)


def _prepared(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, the step that its documentation asks for.

    Without it a BatchNormalization stays in float, beside weights of a Conv that are quantized before they are scaled.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.optimized_model_filepath = str(path)
    given = _with_initializers(model).SerializeToString()
    onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


def _with_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constant nodes as initializers: the peer takes weights from Constant nodes for data, with the type of data."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for node in [node for node in made.graph.node if node.op_type == "Constant"]:
        held = made.graph.initializer.add()
        held.CopyFrom(node.attribute[0].t)
        held.name = node.output[0]
        made.graph.node.remove(node)
    return made


def _outputs(model: bytes, x: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(y) for y in session.run(None, x)]


def sqnr(got: NDArray[Any], want: NDArray[Any]) -> float:
    """Signal-to-quantization-noise ratio in dB."""
    want = want.astype(np.float64)
    noise = float(((got.astype(np.float64) - want) ** 2).sum())
    return 10 * float(np.log10(max(float((want**2).sum()), 1e-30) / max(noise, 1e-30)))
