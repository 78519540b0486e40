"""Compute how far a step's output may overlap its input, row by row.

Unit i of a kernel with `Call.rows = b` writes output rows i * b to i * b + b - 1 and reads only the rows of their
windows. From first to last unit, the output may overwrite input rows that no later window reads. With r_y bytes in an
output row and r_x in an input row, it may begin

    lead = max over i = 0, b, 2b, ... of  min(i + b, H') * r_y - max(0, i * stride - pad) * r_x

bytes or more before the input. From last to first unit, it may begin

    trail = max over i = 0, b, 2b, ... of  (last(i) + 1) * r_x - i * r_y        last(i): the last row that unit i reads

bytes or more after the beginning of the input. A 3x3 convolution with equal input and output channels needs its input
plus two rows, instead of twice its input; a pointwise one that doubles the channels needs its output plus one row.

Source: Blacker, Bridges and Hadfield 2020, arXiv:2010.01668 (diagonal memory optimisation); the second direction is
ours: it lets a chain of layers move back and forth in the same memory.
"""

from __future__ import annotations

from intaglio.codegen.steps import ProgramStep
from intaglio.program import Program
from intaglio.program.operator import Shape
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.windows import Window


def row_distances(program: Program, step: ProgramStep) -> tuple[int, int] | None:
    """Return lead and trail in bytes of a step whose output may overlap its input row by row; None otherwise."""
    if step.call.rows < 1 or len(step.nodes) != 1 or len(step.inputs) != 1:
        return None
    operator = step.nodes[0].operator
    if not isinstance(operator, Conv2d | MaxPool2d | AveragePool2d):
        return None
    x, y = program.tensors[step.inputs[0]], program.tensors[step.output]
    if x.shape[0] != 1 or step.call.units != -(-y.shape[1] // step.call.rows):
        return None
    return window_distances(
        operator.window, x.shape, x.type.dtype.itemsize, y.shape, y.type.dtype.itemsize, step.call.rows
    )


def window_distances(window: Window, x: Shape, x_bytes: int, y: Shape, y_bytes: int, rows: int) -> tuple[int, int]:
    """Compute lead and trail of a window operator (see the module's equations).

    Args:
        window: kernel, strides, pads.
        x, y: shapes (1, H, W, C) of input and output.
        x_bytes, y_bytes: bytes of an element.
        rows: output rows that a unit writes.
    """
    row_x, row_y = x[2] * x[3] * x_bytes, y[2] * y[3] * y_bytes
    stride, pad, extent = window.strides[0], window.pads[0], window.extent[0]
    lead = trail = 0
    for i in range(0, y[1], rows):
        end = min(i + rows, y[1])
        first = max(0, i * stride - pad)
        last = min(x[1] - 1, (end - 1) * stride - pad + extent - 1)
        lead = max(lead, end * row_y - first * row_x)
        trail = max(trail, (last + 1) * row_x - i * row_y)
    return lead, trail
