"""From a float ONNX file to what each peer reads: quantized by the peer's own tool on random inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from intaglio.bench.bench_inputs import random_reals
from intaglio.bench.engine import Unavailable
from intaglio.bench.peers import PeerModels
from intaglio.bench.quantizers import quantize_onnxruntime, quantize_openvino, strip_ends
from intaglio.errors import DataError
from intaglio.program import Program

CALIBRATION = 16


def peer_models(
    program: Program, real: Path | None, litert: Path | None, peers: Sequence[str], folder: Path
) -> PeerModels:
    """The network for the peers; what cannot be made is named in `troubles`.

    Args:
        program: ours, for the ranges of the inputs.
        real: float ONNX, or None.
        litert: .tflite, or None.
        peers: who will take part.
        folder: where the quantized networks are written; it has to stay while they are used.
    Raises:
        DataError: a file that was named is not there.
    """
    for path in (real, litert):
        if path is not None and not path.is_file():
            raise DataError(f"{path}: expected a model file, got none; check the path")
    troubles: dict[str, str] = {}
    made: dict[str, Path] = {}
    if real is None:
        return PeerModels(litert=litert)

    def attempt(peer: str, key: str, make: Callable[[Path], None]) -> None:
        if peer not in peers or f"{peer} int8" in troubles:
            return
        path = folder / f"model.{key}.{'xml' if peer == 'openvino' else 'onnx'}"
        try:
            make(path)
        except Unavailable as reason:
            troubles[f"{peer} int8"] = str(reason)
        except Exception as error:  # somebody else's quantizer; the others are still to be measured
            first = (str(error).strip() or "no reason given").splitlines()[0]
            troubles[f"{peer} int8"] = f"could not be quantized: {type(error).__name__}: {first}"
        else:
            made[key] = path

    names = [program.tensors[name].graph_name or name for name in program.inputs]
    data = [dict(zip(names, random_reals(program, seed), strict=True)) for seed in range(CALIBRATION)]
    attempt("onnxruntime", "ort", lambda path: quantize_onnxruntime(real, data, path))
    attempt("onnxruntime", "u8", lambda path: strip_ends(made["ort"], path))
    attempt("openvino", "ov", lambda path: quantize_openvino(real, data, path))
    function = _torch_function(real) if "torch" in peers else None
    return PeerModels(real, made.get("ort"), made.get("u8"), made.get("ov"), litert, function, troubles)


def _torch_function(real: Path) -> Callable[..., Any] | None:
    """The network as PyTorch calls; None where PyTorch is not installed."""
    try:
        from intaglio.frontends import load
        from intaglio.simulate import Simulator
    except ModuleNotFoundError:
        return None
    simulator = Simulator(load(real), None, "cpu")
    return lambda *x: simulator(dict(zip(simulator.input_names, x, strict=True)))
