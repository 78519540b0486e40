"""A quantized network: Graph, Plan, and the history of how it came about."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.program import Program


@dataclass
class Quantized:
    """What `intaglio.quantize` returns.

    Args:
        graph: the prepared float network.
        plan: how each value is represented.
        history: one sentence per step.
    """

    graph: Graph
    plan: Plan
    history: list[str] = field(default_factory=list)

    def simulate(self, *x: NDArray[Any]) -> Any:
        """Run the float network with every value rounded as the Plan says.

        Args:
            x: one real array per input, (N, ...).
        Returns:
            The output, real, (N, ...); a tuple where the network has several.
        Raises:
            DataError: a shape does not fit.
        """
        from intaglio.simulate import Simulator

        y = Simulator(self.graph, self.plan).run(*(np.asarray(a) for a in x))
        return y[0] if len(y) == 1 else y

    def lower(self) -> Program:
        """The integer-only Program.

        Raises:
            LoweringError: listing every operator that cannot be integers, with the reason.
        """
        from intaglio.lower import lower

        return lower(self.graph, self.plan, {"name": self.graph.name})

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write a standard QDQ ONNX file.

        Raises:
            ExportError: the file cannot be written, or the Plan has formats that ONNX has not.
        """
        from intaglio.export import export_qdq

        export_qdq(self.graph, self.plan, path)

    def report(self, path: str | os.PathLike[str], **facts: Any) -> None:
        """Write the Plan as one self-contained HTML page; `facts` are those of `intaglio.report.Facts`."""
        from intaglio.report import Facts, write_report

        write_report(Path(path), self.graph, self.plan, Facts(history=tuple(self.history), **facts))

    def note(self, sentences: Sequence[str]) -> None:
        """Add to the history."""
        self.history.extend(sentences)
