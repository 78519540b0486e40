"""Outputs that follow their input through the same memory, row by row.

Unit i of a kernel with `Call.rows = b` writes rows i * b to i * b + b - 1 of its output and reads the rows of their
windows only. Run from the first unit to the last, the output may lie on input rows that no later window sees; with r_y
bytes in a row of the output and r_x in one of the input, it may begin

    lead = max over i = 0, b, 2b, ... of  min(i + b, H') * r_y - max(0, i * stride - pad) * r_x

bytes or more ahead of the input. Run from the last unit to the first, it may begin

    trail = max over i = 0, b, 2b, ... of  (last(i) + 1) * r_x - i * r_y        last(i): the last row that unit i reads

bytes or more behind the beginning of the input. A 3x3 convolution with as many channels out as in needs two rows more
than its input in place of twice as much; a pointwise one that doubles the channels needs one row more than its output.

Source: Blacker, Bridges and Hadfield 2020, arXiv:2010.01668 (diagonal memory optimisation); the second direction lets
a chain of layers go to and fro in the same memory where it would have to move on.
"""

from __future__ import annotations

from intaglio.codegen.steps import Step
from intaglio.program import Program
from intaglio.program.operator import Shape
from intaglio.program.operators.average_pool2d import AveragePool2d
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.operators.max_pool2d import MaxPool2d
from intaglio.program.windows import Window


def row_distances(program: Program, step: Step) -> tuple[int, int] | None:
    """Lead and trail in bytes of a step whose output can follow its input row by row; else None."""
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
    """Lead and trail of a window that moves over an image; see the module's equations.

    Args:
        window: kernel, strides, pads.
        x, y: shapes (1, H, W, C) of input and output.
        x_bytes, y_bytes: of an element.
        rows: output rows that are written at once.
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
