"""Quantized network: Graph, Plan and history."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError, IntaglioError, UsageError
from intaglio.files import whole_tree
from intaglio.graph import Graph
from intaglio.graph.tail import TAIL, Tail
from intaglio.ops import Role
from intaglio.plan import Plan, Source, Step
from intaglio.program import Program
from intaglio.program.io_types import IOTypes
from intaglio.tables import clean, text_table

if TYPE_CHECKING:
    from intaglio.calibrate import Statistics


PROGRAM, QDQ, PLAN, REPORT = "model.intaglio", "model.qdq.onnx", "plan.json", "report.html"
TFLITE = "model.tflite"
"""Names of the files in a folder that `Quantized.save` and `intaglio quantize` write."""


@dataclass(repr=False)
class Quantized:
    """Quantized network, as returned by `intaglio.quantize`.

    Args:
        graph: the prepared float network.
        plan: format and quantization parameters of each value.
        steps: what was done, with measured gains.
        prepared: the float network before recovery algorithms changed it; None if none did.
        statistics: statistics of the calibration; None without calibration.
        reference: the float network with the value names of `graph`, before weights were rounded, with which layers
            are compared.
    """

    graph: Graph
    plan: Plan
    steps: list[Step] = field(default_factory=list)
    prepared: Graph | None = None
    statistics: Statistics | None = None
    reference: Graph | None = None

    def __post_init__(self) -> None:
        from intaglio.plan.unary_nodes import note_tables

        note_tables(self.graph, self.plan)

    @property
    def history(self) -> list[str]:
        """History: one sentence for each step."""
        return [str(step) for step in self.steps]

    @property
    def tail(self) -> Tail | None:
        """Post-processing in float that was cut off, and runs on the outputs; None where there is none."""
        return self.graph.tail

    def simulate(self, *x: NDArray[Any]) -> Any:
        """Run the float network with every value rounded according to the Plan.

        Args:
            x: one real array (N, ...) for each input.
        Returns:
            The real output, (N, ...); a tuple if the network has several.
        Raises:
            DataError: an array does not fit its input.
        """
        from intaglio.simulate import Simulator

        y = Simulator(self.graph, self.plan).run(*(np.asarray(a) for a in x))
        return y[0] if len(y) == 1 else y

    def lower(self, *, input_types: IOTypes = None, output_types: IOTypes = None) -> Program:
        """Lower the network to an integer-only Program.

        Args:
            input_types, output_types: float32, int8, uint8 or int16, for all or by name; None: the types that the Plan
                says (see `Program.with_io_types`).
        Raises:
            LoweringError: some operators cannot run on integers; all are listed with the reasons.
            UsageError: a type that an input or output cannot have.
        """
        from intaglio.lower import lower

        program = lower(self.graph, self.plan, {"name": self.graph.name})
        return program.with_io_types(input_types, output_types)

    def export(self, path: str | os.PathLike[str], *, opset: int | None = None, ir_version: int | None = None) -> None:
        """Write a file in the format that its suffix names.

        Args:
            path: `.onnx` for a standard QDQ model, `.tflite` for a TFLite model with the program's integers,
                `.intaglio` for the integer program.
            opset: of the ONNX model; None: the lowest possible. From 25 on, 2-bit integers are stored as such.
            ir_version: of the ONNX file; None: that of the opset.
        Raises:
            ExportError: another suffix; the file cannot be written; the Plan has formats that ONNX, or this opset or
                IR version, has not; or TFLite's kernels would compute other integers (all operators are listed).
            UsageError: a version beside another suffix.
            LoweringError: the program or TFLite is asked for, and an operator cannot be integers.
        """
        from intaglio.export import export_qdq, export_tflite

        if Path(path).suffix != ".onnx" and (opset, ir_version) != (None, None):
            raise UsageError(f"{Path(path)}: expected opset and ir_version only with a name that ends in .onnx")
        match Path(path).suffix:
            case ".onnx":
                export_qdq(self.graph, self.plan, path, opset=opset, ir_version=ir_version)
            case ".tflite":
                export_tflite(self.lower(), path)
            case ".intaglio":
                self.lower().save(path)
            case other:
                raise ExportError(
                    f"{Path(path)}: expected a name that ends in .onnx (QDQ model), .tflite (TFLite model) or "
                    f".intaglio (integer program), got {other or 'no suffix'!r}"
                )

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write a file in the format that its suffix names, or everything into a folder.

        Args:
            path: a file: `.intaglio` (integer program), `.onnx` (QDQ model), `.tflite` (TFLite model), `.json` (Plan)
                or `.html` (report). A name without suffix is a folder, for model.intaglio, model.qdq.onnx, plan.json
                and report.html, and for tail.onnx where post-processing was cut off.
        Returns:
            The files that were written. model.qdq.onnx is missing in a folder if ONNX lacks a format; the history then
            says so.
        Raises:
            ExportError: another suffix, or a file cannot be written.
            LoweringError: the program is asked for, alone or in a folder, and an operator cannot be integers.
        """
        target = Path(path)
        if target.is_dir() or not target.suffix:
            return self._save_folder(target)
        match target.suffix:
            case ".onnx" | ".tflite" | ".intaglio":
                self.export(target)
            case ".json":
                self.plan.save(target)
            case ".html":
                self.report(target)
            case other:
                raise ExportError(
                    f"{target}: expected a folder, or a name that ends in .intaglio, .onnx, .tflite, .json or .html, "
                    f"got {other!r}"
                )
        return (target,)

    def _save_folder(self, folder: Path) -> tuple[Path, ...]:
        program = self.lower()
        try:
            with whole_tree(folder) as temporary:
                program.save(temporary / PROGRAM)
                try:
                    self.export(temporary / QDQ)
                except ExportError as error:
                    self.steps.append(Step("export", f"{QDQ} was not written: {error}"))
                self.plan.save(temporary / PLAN)
                self.report(temporary / REPORT)
                if self.tail is not None:
                    self.tail.save(temporary / TAIL)
                names = sorted(file.name for file in temporary.iterdir())
        except OSError as error:
            raise ExportError(
                f"{folder}: expected a folder that can be written, got: {error.strerror or error}"
            ) from error
        return tuple(folder / name for name in names)

    def summary(self) -> str:
        """Table of the operators: how each runs, and the formats of its result and its weights."""
        rows = []
        for node in self.graph.nodes:
            operator = self.plan.operators.get(str(node.name))
            weights = (v for v in node.inputs if v is not None and v.is_initializer() and v.name in self.plan.values)
            formats = [str(p.format) for v in weights if (p := self.plan[str(v.name)]).role is Role.WEIGHT]
            result = self.plan.values.get(str(node.outputs[0].name))
            runs = "" if operator is None else "integer" if operator.integer else f"float: {operator.why}"
            if result is not None and result.source is Source.FUSED:
                runs = f"{runs}, fused into {' '.join(result.of)}"
            shown = "" if result is None or result.format is None else str(result.format)
            rows.append((node.name, node.op_type, runs, shown, ", ".join(formats)))
        return text_table(self._line(), ("node", "operator", "runs", "result", "weights"), rows)

    def _line(self) -> str:
        return clean(f"{self.graph.name!r}, {self.plan!r}, {len(self.steps)} steps of history")

    def __repr__(self) -> str:
        return f"Quantized({self._line()})"

    def report(self, path: str | os.PathLike[str], **facts: Any) -> None:
        """Write one self-contained HTML page; `facts` are what was measured, as in `intaglio.report.Facts`."""
        from intaglio.report import known_facts, write_report

        try:
            program = self.lower()
        except IntaglioError:  # without its costs and its memory the page still tells of the Plan, and why
            program = None
        known = known_facts(
            self.graph,
            self.plan,
            steps=self.steps,
            prepared=self.prepared,
            reference=self.reference,
            statistics=self.statistics,
            program=program,
        )
        write_report(Path(path), self.graph, self.plan, replace(known, **facts))
