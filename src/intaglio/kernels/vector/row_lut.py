"""Functions of one 8-bit code as stages of a pipeline of rows: tables, and what a table can stand for."""

from __future__ import annotations

import numpy as np

from intaglio.kernels.kernel import CSource, Struct, Tensor
from intaglio.kernels.vector.row_add import rows_of
from intaglio.kernels.vector.row_stage import Layout, RowStage, row_stage
from intaglio.kernels.vector.vector_isas import Vector
from intaglio.program.operators.lut import Lut, first_entry
from intaglio.program.operators.requantize import Requantize

Unary = Lut | Requantize


def serves_lut(op: Unary, x: Tensor, y: Tensor) -> bool:
    """From 8 bits to 8 bits, the same function for all channels."""
    return x.type.bits <= 8 and y.type.bits <= 8 and not (isinstance(op, Lut) and op.table.ndim > 1)


def lut_stage(op: Unary, x: Tensor, y: Tensor, vector: Vector, to: Layout) -> RowStage:
    """The stage of a function that `serves_lut` accepts; the other arguments are those of `gemm_stage`."""
    height, width = rows_of(y)
    name = f"ig_lut_rows__{vector.isa}"
    # Every byte, also those that a type of fewer bits does not have: they never occur, and 0 is as good as any.
    codes = np.arange(256).astype(np.uint8).view(x.type.dtype)
    real = (codes >= first_entry(x.type)) & (codes <= x.type.qmax)
    table = np.zeros(256, y.type.dtype)
    table[real] = op.integer(codes[real])
    fields = {"table": table.view(np.uint8), "x_row": width, "y_row": to.pitch, "nbytes": width}
    sources = (vector.source, CSource("vector/lut_rows.h", (("IG_NAME", name),)))
    return row_stage(name, sources, Struct("struct ig_lut_rows", fields), height, width)
