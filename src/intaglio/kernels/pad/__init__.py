"""Kernels of `pad`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import template
from intaglio.program.operators.pad import Pad


def scalar(op: Pad, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per run: the innermost padded axis with those inside it."""
    x = inputs[0]
    axes: list[tuple[int, int, int]] = []  # size in y, size in x, before; innermost first
    inner = 1  # elements of the axes since the last padded one: they move as one
    for n, was, before, after in reversed(list(zip(y.shape, x.shape, op.before, op.after, strict=True))):
        if before or after:
            axes.append((n * inner, was * inner, before * inner))
            inner = 1
        else:
            inner *= n
    if inner > 1 or not axes:
        axes.append((inner, inner, 0))
    (run, x_run, first), *outer = axes
    sizes, x_sizes, befores = zip(*outer[::-1], strict=True) if outer else ((1,), (1,), (0,))
    name = f"ig_pad_{x.short}__scalar"
    fields = {
        "value": op.value,
        "rank": len(outer),
        "size": sizes,
        "x_size": x_sizes,
        "before": befores,
        "run": run,
        "x_run": x_run,
        "first": first,
    }
    return Call(name, (template("pad/scalar.h", name, x=x.c_type),), "struct ig_pad", fields, units=math.prod(sizes))


KERNELS = (Kernel("pad", "scalar", scalar),)
