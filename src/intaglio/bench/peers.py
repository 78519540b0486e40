"""Other people's engines, set up for the lowest latency that each can give, with their inputs lying ready.

ONNX Runtime is called through an IoBinding and OpenVINO through an InferRequest with shared tensors: both skip what
their plain Python calls add. Where an engine takes integers as well as floats, both are timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.bench.engine import Array, Engine, Unavailable


@dataclass(frozen=True)
class PeerModels:
    """One network as the peers read it; None for what there is not.

    Args:
        real: float ONNX.
        onnxruntime, onnxruntime_u8: QDQ ONNX with float ends and with u8 ends.
        openvino: IR, quantized.
        litert: .tflite, quantized.
        torch: a float function of torch tensors.
        troubles: who cannot take part with what, and why.
    """

    real: Path | None = None
    onnxruntime: Path | None = None
    onnxruntime_u8: Path | None = None
    openvino: Path | None = None
    litert: Path | None = None
    torch: Callable[..., Any] | None = None
    troubles: Mapping[str, str] = field(default_factory=dict)


def onnxruntime_engines(models: PeerModels, x: Sequence[Array], threads: int) -> list[Engine]:
    """Load the network in ONNX Runtime's CPU provider."""
    need("onnxruntime", "onnxruntime")
    rows = (
        ("fp32", "float", models.real),
        ("int8", "float", models.onnxruntime),
        ("int8", "integers", models.onnxruntime_u8),
    )
    found = [Engine("onnxruntime", p, ends, _onnxruntime(path, x, threads)) for p, ends, path in rows if path]
    return some(found, "the float network, --float model.onnx, or a quantized .onnx file as the program")


def _onnxruntime(path: Path, x: Sequence[Array], threads: int) -> Callable[[], object]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for wanted, value in zip(session.get_inputs(), x, strict=True):
        fed = fed_as(value, wanted.type)
        binding.bind_ortvalue_input(wanted.name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(fed)))
    for output in session.get_outputs():
        binding.bind_output(output.name)
    session.run_with_iobinding(binding)
    return lambda: session.run_with_iobinding(binding)


def openvino_engines(models: PeerModels, x: Sequence[Array], threads: int) -> list[Engine]:
    """Load the network in OpenVINO's CPU plugin."""
    need("openvino", "openvino")
    rows = (
        ("fp32", "float", models.real),
        ("int8", "float", models.openvino),
        ("int8", "integers", models.openvino),
    )
    found = [
        Engine("openvino", p, ends, _openvino(path, x, threads, p, ends == "integers"))
        for p, ends, path in rows
        if path
    ]
    return some(found, "the float network: --float model.onnx")


def _openvino(path: Path, x: Sequence[Array], threads: int, precision: str, integers: bool) -> Callable[[], object]:
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path)
    if model.is_dynamic():
        model.reshape({i: list(value.shape) for i, value in enumerate(x)})
    if integers:  # u8 input, converted by the plugin, which may fold the conversion into the quantizer
        steps = ov.preprocess.PrePostProcessor(model)
        for i in range(len(model.inputs)):
            steps.input(i).tensor().set_element_type(ov.Type.u8)
            steps.input(i).preprocess().convert_element_type(ov.Type.f32).mean(128.0).scale(32.0)
        model = steps.build()
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision == "fp32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"  # otherwise processors with bf16 would use it
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for i, value in enumerate(x):
        indices = value.dtype.kind in "iu"
        fed = np.ascontiguousarray(value if indices else as_u8(value) if integers else value.astype(np.float32))
        request.set_input_tensor(i, ov.Tensor(fed, shared_memory=True))
    request.infer(share_outputs=True)
    return lambda: request.infer(share_outputs=True)


def litert_engines(models: PeerModels, x: Sequence[Array], threads: int) -> list[Engine]:
    """Load the network in LiteRT with XNNPACK, its default."""
    need("ai_edge_litert", "ai-edge-litert")
    if models.litert is None:
        raise Unavailable("needs the network as .tflite: --litert model.tflite")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(models.litert), num_threads=threads)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    integers = False
    for wanted in interpreter.get_input_details():
        dtype = np.dtype(wanted["dtype"])
        integers |= dtype.kind in "iu"
        values = rng.integers(-100, 100, wanted["shape"]) + (128 if dtype.kind == "u" else 0)
        interpreter.set_tensor(wanted["index"], values.astype(dtype))
    interpreter.invoke()
    precision = "int8" if any(np.dtype(d["dtype"]) == np.int8 for d in interpreter.get_tensor_details()) else "fp32"
    return [Engine("litert", precision, "integers" if integers else "float", interpreter.invoke)]


def torch_engines(models: PeerModels, x: Sequence[Array], threads: int) -> list[Engine]:
    """Load the network in eager PyTorch."""
    need("torch", "torch")
    if models.torch is None:
        raise Unavailable("needs the float network: --float model.onnx")
    import torch

    function, tensors = models.torch, [torch.from_numpy(np.ascontiguousarray(v, np.float32)) for v in x]

    def run() -> object:
        with torch.inference_mode():
            return function(*tensors)

    return [Engine("torch", "fp32", "float", run, lambda: torch.set_num_threads(threads))]


def as_u8(x: Array) -> Array:
    """Convert reals to arbitrary u8 codes; values do not matter for timing."""
    codes: Array = np.clip(np.rint(x * 32 + 128), 0, 255).astype(np.uint8)
    return codes


def fed_as(x: Array, wanted: str) -> Array:
    """Convert an input of ours to the type that ONNX Runtime names; indices keep their values."""
    if wanted == "tensor(float)":
        return x.astype(np.float32)
    if x.dtype.kind in "iu":
        return x.astype(wanted.removeprefix("tensor(").removesuffix(")"))
    return as_u8(x)


def need(module: str, package: str) -> None:
    """Raise `Unavailable` if a package is not installed."""
    if find_spec(module) is None:
        raise Unavailable(f"not installed: pip install {package}")


def some(engines: list[Engine], want: str) -> list[Engine]:
    """Return the engines; raise `Unavailable` if there are none."""
    if not engines:
        raise Unavailable(f"needs {want}")
    return engines


PEERS: Mapping[str, Callable[[PeerModels, Sequence[Array], int], list[Engine]]] = {
    "onnxruntime": onnxruntime_engines,
    "openvino": openvino_engines,
    "litert": litert_engines,
    "torch": torch_engines,
}
