"""What a kernel is to the code generator: a C function, the struct of constants it reads, and how to split it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import CompileError
from intaglio.number import IntType, Requantize
from intaglio.program.operator import Operator

ROOT = Path(__file__).parent
C_TYPES = {"i1": "int8_t", "u1": "uint8_t", "i2": "int16_t", "u2": "uint16_t", "i4": "int32_t", "i8": "int64_t"}
SHORT = {"i1": "s8", "u1": "u8", "i2": "s16", "u2": "u16", "i4": "s32", "i8": "s64"}


@dataclass(frozen=True)
class Tensor:
    """Shape (a batch of 1 in front where there is a batch) and type of an operand."""

    shape: tuple[int, ...]
    type: IntType

    @property
    def c_type(self) -> str:
        """The C type that stores one element."""
        return C_TYPES[self.type.dtype.str[1:]]

    @property
    def short(self) -> str:
        """The type as kernel names spell it: s8, u8, s16, ..."""
        return SHORT[self.type.dtype.str[1:]]

    @property
    def size(self) -> int:
        """Elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes, dense."""
        return self.size * self.type.dtype.itemsize


@dataclass(frozen=True)
class CSource:
    """A C template and the macros that are set while it is included; equal sources are included once."""

    header: str
    defines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Struct:
    """A constant struct of its own, passed by address."""

    type: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class StructArray:
    """A constant array of structs, passed by its address."""

    type: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def length(self) -> int:
        """Rows."""
        return len(self.rows)


@dataclass(frozen=True)
class Name:
    """A C identifier or expression, written as it is (a function, an enumerator)."""

    text: str


@dataclass(frozen=True)
class Long:
    """A member of 64 bits; plain integers are members of 32."""

    value: int


@dataclass(frozen=True)
class Call:
    """One call of a kernel: `function(&params, inputs..., output, scratch, begin, end)`.

    Args:
        function: C name; the same name always means the same source and defines.
        sources: the templates that define it, in order.
        struct: C type of the parameters.
        fields: its members by name: int (of 32 bits), `Long`, integer array (becomes a constant array, passed by
            pointer), `Requantize` (becomes `struct ig_requantize`), `Struct` and `StructArray` (by address), `Name`,
            None (NULL), dict (nested struct), or a sequence of these (an array member).
        units: the work divides into this many independent parts (rows, elements); `begin`, `end` select some.
        scratch: bytes of working memory per concurrent call, aligned to 64.
        variadic: inputs are passed as one array of pointers.
        may_alias: input positions whose memory the output may take over, element for element.
        split: parts worth a thread of their own at most; 1 keeps the call on one thread.
        rows: not 0: the operator is a convolution or a pool with one input; unit i is the `rows` output rows from
            i * rows on, reads no input rows but those of their windows (counted by the kernel's formula, without
            reading ahead), and units run one after the other, first to last. Where there is one thread only, the
            output may then follow the input through the same memory.
    """

    function: str
    sources: tuple[CSource, ...]
    struct: str
    fields: Mapping[str, Any]
    units: int = 1
    scratch: int = 0
    variadic: bool = False
    may_alias: tuple[int, ...] = ()
    split: int = field(default=1 << 30)
    rows: int = 0


Bind = Callable[[Any, Sequence[Tensor], Tensor], "Call | None"]


@dataclass(frozen=True)
class Kernel:
    """One row of the table.

    Args:
        operator: the operator's `kind`.
        isa: the instruction set that it needs; `scalar` is plain C11.
        bind: (operator, inputs, output) to a call, or None where this kernel does not serve these parameters.
    """

    operator: str
    isa: str
    bind: Bind


@cache
def kernels() -> dict[str, tuple[Kernel, ...]]:
    """Every kernel by operator kind, in the order of preference that its folder gives."""
    table: dict[str, tuple[Kernel, ...]] = {}
    for module in pkgutil.iter_modules([str(ROOT)]):
        rows = getattr(importlib.import_module(f"{__package__}.{module.name}"), "KERNELS", ()) if module.ispkg else ()
        for row in rows:
            table[row.operator] = (*table.get(row.operator, ()), row)
    return table


def bind(operator: Operator, inputs: Sequence[Tensor], output: Tensor, isas: Sequence[str]) -> Call:
    """The first kernel of the best instruction set that serves the operator.

    Args:
        operator: what to run.
        inputs, output: its operands.
        isas: instruction sets that the machine has, best first; `scalar` is always tried last.
    Raises:
        CompileError: no kernel serves it.
    """
    rows = kernels().get(operator.kind, ())
    for isa in (*isas, "scalar"):
        for row in rows:
            if row.isa == isa:
                call = row.bind(operator, inputs, output)
                if call is not None:
                    return call
    raise CompileError(f"{operator.kind}: no kernel takes inputs {[(t.shape, str(t.type)) for t in inputs]}")


def requantize_fields(factor: Requantize) -> dict[str, Any]:
    """Members of `struct ig_requantize`; one factor is read with step 0, factors per channel with step 1."""
    return {
        "multiplier": factor.multiplier.reshape(-1),
        "shift": factor.shift.reshape(-1),
        "step": int(factor.multiplier.size > 1),
    }


def scale_function(factor: Requantize) -> str:
    """Name of the C function that multiplies an accumulator by the factor."""
    return f"ig_scale_{rule_name(factor)}"


def rule_name(factor: Requantize) -> str:
    """Part of a kernel's name that tells apart what `scale_function` does."""
    return f"{factor.rule.value}{'_wide' if factor.wide else ''}"


def int8_codes(weight: NDArray[Any], zero_point: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Weights as signed bytes and the zero point on that grid: unsigned codes are moved down by 128."""
    if weight.dtype == np.uint8:
        return (weight.astype(np.int16) - 128).astype(np.int8), (zero_point - 128).astype(np.int32)
    return weight.astype(np.int8), zero_point.astype(np.int32)
