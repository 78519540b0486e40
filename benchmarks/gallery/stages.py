"""Drive an .onnx file through every stage, from `load` to a compiled program, and measure each result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gallery.isolated import Tell

Array = NDArray[Any]
Sample = Mapping[str, Array]
STAGES = ("build", "export", "load", "quantize", "simulate", "lower", "interpret", "compile", "native")
"""In their order. A row has the first that failed; `native` means that none did."""

CHEAPEST = {"calibrator": "max", "equalize": False, "bias_correction": False}
"""A recipe: the gallery counts what gets through; `docs/accuracy.md` measures accuracy on trained networks."""

LEAST_SQNR = 40.0
"""dB. A loaded Graph that is further from ONNX Runtime computes something else ..."""

FLOAT_ERROR = 1e-5
"""... unless all of its outputs are this close, such as probabilities near 0: ONNX Runtime varies as much by itself."""


@dataclass(frozen=True)
class Case:
    """A file, and what it needs.

    Args:
        path: the .onnx file.
        calibration, tests: samples, each an array of the file's shape by input name.
        options: for `intaglio.load`: shapes, constants.
        constants: inputs of the file that are the same for every sample, for ONNX Runtime.
        recipe: choices for `intaglio.quantize`.
    """

    path: Path
    calibration: Sequence[Sample]
    tests: Sequence[Sample]
    options: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=lambda: CHEAPEST)


def drive(case: Case, target: str, tell: Tell) -> None:
    """Take a file through all stages; raises what the first one that fails does."""
    import intaglio as ig
    from intaglio.simulate import Simulator

    tell({"stage": "export"})  # what ONNX Runtime cannot run is the exporter's failure
    wanted, outputs = _onnxruntime(case)
    tell({"stage": "load"})
    graph = ig.load(str(case.path), **case.options)
    tell({"operators": len(graph.nodes), "tail": ", ".join(graph.tail.begins) if graph.tail else ""})
    names = [value.name for value in graph.inputs]
    single = [tuple(sample[name] for name in names) for sample in case.tests]

    def ratio(results: Iterable[Any]) -> float:
        return sqnr(wanted, [_whole(graph, outputs, y, x) for y, x in zip(results, case.tests, strict=True)])

    real = Simulator(graph, None)
    computed = [real.run(*x) for x in single]
    loaded = ratio(computed)
    largest = max(
        float(np.abs(a - b.reshape(a.shape)).max(initial=0))
        for y, z, x in zip(wanted, computed, case.tests, strict=True)
        for a, b in zip(y, _whole(graph, outputs, z, x), strict=True)
    )
    tell({"loaded": loaded})
    if loaded < LEAST_SQNR and largest > FLOAT_ERROR:
        raise AssertionError(f"the loaded Graph and ONNX Runtime differ: SQNR {loaded:.1f} dB")
    tell({"stage": "quantize"})
    quantized = ig.quantize(
        graph, [{name: sample[name] for name in names} for sample in case.calibration], target=target, **case.recipe
    )
    tell({"stage": "simulate"})
    tell({"simulation": ratio(quantized.simulate(*x) for x in single)})
    tell({"stage": "lower"})
    program = quantized.lower()
    tell({"stage": "interpret"})
    results = [_tuple(program.run(*x)) for x in single]
    tell({"program": ratio(results), "stage": "compile"})
    with tempfile.TemporaryDirectory() as folder:
        native = compile_fast(program, Path(folder))
        found = [_tuple(native.run(*x)) for x in single]
    equal = all(
        np.array_equal(a, b, equal_nan=True)
        for y, z in zip(results, found, strict=True)
        for a, b in zip(y, z, strict=True)
    )
    tell({"equal": equal})
    if not equal:
        raise AssertionError("the compiled program and the interpreter differ")
    tell({"stage": "native"})


def compile_fast(program: Any, folder: Path) -> Any:
    """Compile a Program for this processor with little optimization, which changes no result."""
    from intaglio.codegen.build import plan, write
    from intaglio.codegen.cache import library_files
    from intaglio.codegen.machine import machine
    from intaglio.codegen.native import NativeProgram
    from intaglio.codegen.toolchain import compile_library

    host = machine("host")
    model = plan(program, host)
    write(library_files(model), folder)
    return NativeProgram(program, model, compile_library(folder, host, flags=("-O1",)), 1)


def sqnr(wanted: Sequence[Sequence[Array]], got: Sequence[Sequence[Array]]) -> float:
    """Mean signal-to-quantization-noise ratio of all outputs in dB; shapes may differ by axes of size 1."""
    from intaglio.evaluation.sqnr import SignalToNoise

    names = [str(i) for i in range(len(wanted[0]))]
    ratio = SignalToNoise(names)
    for y, q in zip(wanted, got, strict=True):
        ratio.add(
            {name: np.asarray(a, np.float64) for name, a in zip(names, y, strict=True)},
            {name: np.asarray(b, np.float64).reshape(a.shape) for name, a, b in zip(names, y, q, strict=True)},
            1,
        )
    return ratio.sqnr


def _onnxruntime(case: Case) -> tuple[list[list[Array]], list[str]]:
    """Outputs of the file in ONNX Runtime, sample by sample, and their names."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(str(case.path), settings, providers=["CPUExecutionProvider"])
    wanted = {value.name for value in session.get_inputs()}  # an exporter drops inputs that nothing reads
    given = [{**sample, **case.constants} for sample in case.tests]
    results = [session.run(None, {name: x for name, x in sample.items() if name in wanted}) for sample in given]
    return results, [value.name for value in session.get_outputs()]


def _whole(graph: Any, outputs: Sequence[str], y: Any, sample: Sample) -> list[Array]:
    """The outputs of the file, in order, from those of its Graph: post-processing that was cut off is run in float."""
    if graph.tail is None:
        return list(_tuple(y))
    parts = dict(zip((value.name for value in graph.outputs), _tuple(y), strict=True))
    own = {name: sample[name] for name in graph.tail.inputs if name in sample}
    parts |= graph.tail.run(y, **own)
    return [parts[name] for name in outputs]


def _tuple(y: Any) -> tuple[Array, ...]:
    return tuple(y) if isinstance(y, tuple | list) else (y,)
