"""LiteRT's reference kernels as an oracle, tensor by tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.frontends.tflite.contents import TfliteContents, TfliteTensor, read_contents
from intaglio.frontends.tflite.tflite_builder import CODES
from intaglio.program import Program


def interpreter_of(content: bytes) -> Any:
    """An interpreter with the reference kernels that keeps every tensor."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert (extra `peers`)")
    interpreter = litert.Interpreter(
        model_content=content,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    return interpreter


def run_reference(interpreter: Any, inputs: dict[int, np.ndarray]) -> None:
    """Run it on inputs by tensor index."""
    for index, array in inputs.items():
        interpreter.set_tensor(index, array)
    interpreter.invoke()


@dataclass
class Comparison:
    """Tensors that were compared, by TFLite operator; what differs; what our side has no tensor for."""

    compared: dict[str, int] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def random_inputs(contents: TfliteContents, rng: np.random.Generator, mode: str = "uniform") -> dict[int, np.ndarray]:
    """Random inputs of a network, by tensor index: `uniform`, or `extreme` codes."""
    found = {}
    for tensor in contents.inputs:
        if tensor.dtype.kind == "f":
            found[tensor.index] = rng.standard_normal(tensor.shape).astype(tensor.dtype)
            continue
        info = np.iinfo(tensor.dtype)
        found[tensor.index] = rng.integers(info.min, info.max + 1, tensor.shape).astype(tensor.dtype)
        if mode == "extreme":
            found[tensor.index] = rng.choice([info.min, info.max], tensor.shape).astype(tensor.dtype)
    return found


def compare(path: Path | bytes, program: Program, inputs: dict[int, np.ndarray], interpreter: Any = None) -> Comparison:
    """Run both and compare every tensor of codes that an operator of the file computes."""
    content = path if isinstance(path, bytes) else path.read_bytes()
    contents = read_contents(content, "model")
    interpreter = interpreter or interpreter_of(content)
    run_reference(interpreter, inputs)
    given = {}
    for tensor in contents.inputs:
        array = inputs[tensor.index]
        # A float input is followed by QUANTIZE: the program quantizes it in the same way.
        info = program.tensors[tensor.name]
        given[tensor.name] = array if array.dtype.kind != "f" else info.params.quantize(array)
    codes = program.trace(given)
    by_name: dict[str, list[np.ndarray]] = {}
    for name, info in program.tensors.items():
        stored = codes[name]
        ours = [stored] if info.axes is None else [stored, stored.transpose(np.argsort(info.axes))]
        for key in {name, info.graph_name} - {None}:
            by_name.setdefault(key, []).extend(ours)
    for op in contents.operators:
        if op.kind == "DEQUANTIZE":  # the program has one tensor for both, under the name of the result
            by_name.setdefault(op.input(0).name, []).extend(by_name.get(op.outputs[0].name, []))
    result = Comparison()
    for op in contents.operators:
        for tensor in op.outputs:
            if tensor.kind not in CODES:
                continue
            _compare(result, op.kind, tensor, by_name, interpreter.get_tensor(tensor.index))
    return result


def _compare(
    result: Comparison, kind: str, tensor: TfliteTensor, by_name: dict[str, list[np.ndarray]], want: np.ndarray
) -> None:
    found = by_name.get(tensor.name, [])
    orders = found + [np.moveaxis(a, 1, -1) for a in found if a.ndim > 2]
    fitting = [a for a in orders if a.shape == want.shape]
    if not fitting:
        result.missing.append(f"{kind} '{tensor.name}' {want.shape}, ours {[a.shape for a in found]}")
        return
    result.compared[kind] = result.compared.get(kind, 0) + 1
    least = min(fitting, key=lambda a: int(np.count_nonzero(a != want)))
    wrong = np.flatnonzero(least.reshape(-1) != want.reshape(-1))
    if wrong.size:
        i, steps = int(wrong[0]), int(np.abs(least.astype(np.int64) - want).max())
        result.differing.append(
            f"{kind} '{tensor.name}': {wrong.size} of {want.size} differ by up to {steps} steps, first at {i}: got "
            f"{least.reshape(-1)[i]}, want {want.reshape(-1)[i]}"
        )


def differences(content: bytes, program: Program, codes: dict[str, np.ndarray], *, reference: bool = True) -> list[str]:
    """Run a file that was written from a Program: every tensor of the Program that LiteRT computes otherwise.

    Args:
        content: the file, whose tensors are called as the Program's.
        program: the Program.
        codes: its inputs.
        reference: with LiteRT's reference kernels; otherwise with its default ones, of which only outputs are compared.
    Returns:
        A sentence for each tensor that differs, is missing, or has another shape.
    """
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert (extra `peers`)")
    if reference:
        interpreter = interpreter_of(content)
    else:
        interpreter = litert.Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    places = {row["name"]: row["index"] for row in interpreter.get_tensor_details()}
    run_reference(interpreter, {places[name]: array for name, array in codes.items()})
    traced, found = program.trace(codes), []
    for name in [node.output for node in program.nodes] if reference else program.outputs:
        if name not in places:
            found.append(f"'{name}': not in the file")
            continue
        ours, theirs = traced[name], interpreter.get_tensor(places[name])
        if ours.shape != theirs.shape:
            found.append(f"'{name}': shape {ours.shape}, in LiteRT {theirs.shape}")
        elif (wrong := np.abs(ours.astype(np.int64) - theirs)).any():
            found.append(f"'{name}': {np.count_nonzero(wrong)} of {wrong.size} differ by up to {wrong.max()}")
    return found
