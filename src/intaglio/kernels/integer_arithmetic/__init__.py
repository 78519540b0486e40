"""Kernels of `integer_arithmetic`."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import binary_fields, in_place, template
from intaglio.program.operators.integer_arithmetic import IntegerArithmetic

_IN_C = {"add": "(a + b)", "sub": "(a - b)", "mul": "(a * b)", "min": "(a < b ? a : b)", "max": "(a > b ? a : b)"}


def scalar(op: IntegerArithmetic, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per element."""
    a, b = inputs
    name = f"ig_integer_{op.function}_{a.short}_{b.short}__scalar"
    source = template("integer_arithmetic/scalar.h", name, a=a.c_type, b=b.c_type, function=_IN_C[op.function])
    may_alias = in_place(inputs, y)
    return Call(name, (source,), "struct ig_integer_arithmetic", binary_fields(a, b, y), y.size, may_alias=may_alias)


KERNELS = (Kernel("integer_arithmetic", "scalar", scalar),)
