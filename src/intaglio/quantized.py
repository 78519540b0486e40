"""Quantized network: Graph, Plan and history."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError, IntaglioError
from intaglio.graph import Graph
from intaglio.plan import Plan, Step
from intaglio.program import Program

if TYPE_CHECKING:
    from intaglio.calibrate import Statistics


@dataclass
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

    def lower(self) -> Program:
        """Lower the network to an integer-only Program.

        Raises:
            LoweringError: some operators cannot run on integers; all are listed with the reasons.
        """
        from intaglio.lower import lower

        return lower(self.graph, self.plan, {"name": self.graph.name})

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write a file in the format that its suffix names.

        Args:
            path: `.onnx` for a standard QDQ model, `.intaglio` for the integer program.
        Raises:
            ExportError: another suffix; the file cannot be written; or the Plan has formats that ONNX has not.
            LoweringError: the program is asked for, and an operator cannot be integers.
        """
        from intaglio.export import export_qdq

        match Path(path).suffix:
            case ".onnx":
                export_qdq(self.graph, self.plan, path)
            case ".intaglio":
                self.lower().save(path)
            case other:
                raise ExportError(
                    f"{Path(path)}: expected a name that ends in .onnx (QDQ model) or .intaglio (integer program), "
                    f"got {other or 'no suffix'!r}"
                )

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
