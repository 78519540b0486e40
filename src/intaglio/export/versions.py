"""Opset and IR version of a QDQ file: what it needs, and what was asked for."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from intaglio.errors import ExportError, check_whole
from intaglio.export.opset import OLDEST, first_that_does_not_fit, needs
from intaglio.export.storage import Storage
from intaglio.graph import NORMAL_OPSET
from intaglio.graph.access import where

OLDEST_IR = 7
"""IR version of the oldest opset."""


def check_versions(opset: int | None, ir_version: int | None) -> None:
    """Check that the installed onnx package knows an opset and an IR version.

    Raises:
        UsageError: one of them is no whole number.
        ExportError: it does not, or the opset has no per-channel quantization.
    """
    for name, value in (("opset", opset), ("ir_version", ir_version)):
        if value is not None:
            check_whole(name, value)
    newest = onnx.defs.onnx_opset_version()
    package = f"the installed onnx {onnx.__version__} knows; pip install -U onnx may bring newer ones"
    if opset is not None and not OLDEST <= opset <= newest:
        raise ExportError(
            f"opset: expected {OLDEST} (per-channel quantization) to {newest}, which {package}, got {opset}"
        )
    if ir_version is not None and not OLDEST_IR <= ir_version <= onnx.IR_VERSION:
        raise ExportError(f"ir_version: expected {OLDEST_IR} to {onnx.IR_VERSION}, which {package}, got {ir_version}")


class Versions:
    """The opset and the IR version that a file needs so far, each with the reason.

    Args:
        asked_opset, asked_ir: those that were asked for; None: the lowest possible.
    """

    def __init__(self, asked_opset: int | None, asked_ir: int | None) -> None:
        self.asked_opset, self.asked_ir = asked_opset, asked_ir
        self.opset, self.why = OLDEST, "per-channel quantization"
        self.least_ir, self.why_ir = OLDEST_IR, "the format of the file"

    def need(self, name: str, kind: Storage, opset: int) -> None:
        """Note the opset and the IR version that a value needs."""
        what = f"[value {name!r}] {kind.dtype.name.lower()}"
        if max(kind.opset, opset) > self.opset:
            self.opset = max(kind.opset, opset)
            self.why = what if kind.opset >= opset else f"[value {name!r}] a scale per group"
        if kind.ir_version > self.least_ir:
            self.least_ir, self.why_ir = kind.ir_version, what

    def choose_opset(self, model: ir.Model) -> int:
        """Return the opset that was asked for, or the lowest possible.

        Raises:
            ExportError: the one that was asked for lacks an operator or a type.
        """
        since, node = max(needs(model).items())
        if since > self.opset:
            self.opset, self.why = since, f"{where(node)} this form of the operator"
        if self.asked_opset is None:
            return self.opset
        if self.asked_opset < self.opset:
            raise ExportError(
                f"opset: expected at least {self.opset}, got {self.asked_opset}: {self.why} needs opset {self.opset}"
            )
        odd = first_that_does_not_fit(model, self.asked_opset)
        if odd is not None:
            raise ExportError(
                f"{where(odd)} expected an opset that has this form of the operator, got {self.asked_opset}; use opset "
                f"{self.opset} to {NORMAL_OPSET}"
            )
        self.opset = self.asked_opset
        return self.opset

    def ir_version(self) -> int:
        """Return the IR version that was asked for, or that of the opset.

        Raises:
            ExportError: the one that was asked for is too low.
        """
        if self.asked_ir is None:
            return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", self.opset)]))
        if self.asked_ir < self.least_ir:
            raise ExportError(
                f"ir_version: expected at least {self.least_ir}, got {self.asked_ir}: {self.why_ir} needs IR version "
                f"{self.least_ir}"
            )
        return self.asked_ir
