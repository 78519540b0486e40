"""Prepare a float ONNX file for each peer: quantize it with the peer's own tool on random inputs."""

from __future__ import annotations

import os
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


def check_models(*paths: Path | None) -> None:
    """Check that models that are given are files.

    Raises:
        DataError: one does not exist.
    """
    for path in paths:
        if path is not None and not path.is_file():
            raise DataError(f"{path}: expected a model file, got none; check the path")


def peer_models(
    program: Program,
    real: Path | None,
    litert: Path | None,
    peers: Sequence[str],
    folder: Path,
    quantized: Path | None = None,
) -> PeerModels:
    """Prepare the network for the peers; failures are listed in `troubles`.

    Args:
        program: our Program, for the ranges of the inputs.
        real: float ONNX file, or None.
        litert: .tflite file, or None.
        peers: names of the peers.
        folder: folder for the quantized networks; must exist while they are used.
        quantized: QDQ or QOperator file, which ONNX Runtime runs as it is.
    Raises:
        DataError: a given file does not exist.
    """
    check_models(real, litert)
    troubles: dict[str, str] = {}
    made: dict[str, Path] = {}

    def attempt(peer: str, key: str, make: Callable[[Path], None]) -> None:
        if peer not in peers or f"{peer} int8" in troubles:
            return
        title = f"{peer} int8{' with integer ends' * (key == 'u8')}"
        path = folder / f"model.{key}.{'xml' if peer == 'openvino' else 'onnx'}"
        try:
            make(path)
        except Unavailable as reason:
            troubles[title] = str(reason)
        except Exception as error:  # a foreign quantizer may fail in any way; still measure the others
            first = (str(error).strip() or "no reason given").splitlines()[0].replace(f"{folder}{os.sep}", "")
            troubles[title] = f"could not be quantized: {type(error).__name__}: {first}"
        else:
            made[key] = path

    names = [program.tensors[name].graph_name or name for name in program.inputs]
    data = [dict(zip(names, random_reals(program, seed), strict=True)) for seed in range(CALIBRATION)]
    if quantized is not None:
        made["ort"] = quantized
    elif real is not None:
        attempt("onnxruntime", "ort", lambda path: quantize_onnxruntime(real, data, path))
        attempt("onnxruntime", "u8", lambda path: strip_ends(made["ort"], path))
    if real is None:
        return PeerModels(None, made.get("ort"), litert=litert)
    attempt("openvino", "ov", lambda path: quantize_openvino(real, data, path))
    function = _torch_function(real) if "torch" in peers else None
    return PeerModels(real, made.get("ort"), made.get("u8"), made.get("ov"), litert, function, troubles)


def _torch_function(real: Path) -> Callable[..., Any] | None:
    """Return the network as PyTorch calls; None if PyTorch is not installed."""
    try:
        from intaglio.frontends import load
        from intaglio.simulate import Simulator
    except ModuleNotFoundError:
        return None
    simulator = Simulator(load(real), None, "cpu")
    return lambda *x: simulator(dict(zip(simulator.input_names, x, strict=True)))
