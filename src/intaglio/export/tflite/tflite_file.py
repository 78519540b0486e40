"""A .tflite file under construction: the tensors of a Program, further constants, operators in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ExportError
from intaglio.export.tflite.flat_tables import FlatTables
from intaglio.number import INT8, INT16, INT32, UINT8, IntType, QuantParams
from intaglio.program import Program
from intaglio.program.structure import fresh

_KINDS = {INT8: "INT8", UINT8: "UINT8", INT16: "INT16", INT32: "INT32"}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor of the file.

    Args:
        name: unique in the file.
        kind: TFLite's name of its type, such as INT8.
        shape: its sizes.
        scale, zero_point: of its codes; empty for plain integers.
        axis: of the channels, where there are several scales.
        buffer: index of its content; 0 for computed tensors.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    buffer: int


@dataclass(frozen=True)
class FileOperator:
    """An operator of the file: TFLite's name, version, indices of tensors, its table of options and their values."""

    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: str
    options: Mapping[str, Any] = field(default_factory=dict)


class TfliteFile:
    """Tensors and operators that were added so far.

    Args:
        program: the program that is written; its tensors are added when an operator refers to them.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.tensors: list[FileTensor] = []
        self.operators: list[FileOperator] = []
        self.flat = FlatTables()
        self._buffers = {b"": 0}  # by content: layers may share a weight
        self._places: dict[str, int] = {}
        self._names = set(program.tensors)

    # Tensors

    def tensor(self, name: str) -> int:
        """Return the index of a tensor of the Program.

        Raises:
            ExportError: TFLite has no such integers, or it has more than one scale.
        """
        if name not in self._places:
            info = self.program.tensors[name]
            label = self._fresh(f"{name}_quantized") if name in self.program.float_ends else name
            array = self.program.constants.get(name)
            self._places[name] = self._add(label, info.type, info.shape, info.params, array)
        return self._places[name]

    def between(self, like: str, suffix: str, shape: Sequence[int] | None = None) -> int:
        """Add a computed tensor with the type and parameters of a tensor of the Program."""
        info = self.program.tensors[like]
        name = self._fresh(f"{like}.{suffix}")
        return self._add(name, info.type, info.shape if shape is None else shape, info.params, None)

    def weight(self, name: str, codes: NDArray[Any], scale: NDArray[np.float32], axis: int) -> int:
        """Add a constant of int8 with zero point 0 and one scale or one for each index of an axis."""
        zeros = np.zeros(scale.size, np.int64)
        return self._constant(self._fresh(name), codes.astype(np.int8), "INT8", scale.reshape(-1), zeros, axis)

    def bias(self, name: str, codes: NDArray[Any], scale: NDArray[np.float32]) -> int:
        """Add a constant of int32 on the accumulator's grid."""
        zeros = np.zeros(scale.size, np.int64)
        return self._constant(self._fresh(name), codes.astype(np.int32), "INT32", scale.reshape(-1), zeros, 0)

    def codes(self, name: str, codes: NDArray[Any], like: str) -> int:
        """Add a constant with the type and parameters of a tensor of the Program."""
        info = self.program.tensors[like]
        return self._add(self._fresh(name), info.type, codes.shape, info.params, codes)

    def ints(self, name: str, numbers: Sequence[int] | NDArray[Any]) -> int:
        """Add a constant of plain int32: axes, sizes, paddings."""
        empty = np.zeros(0, np.int64)
        return self._constant(
            self._fresh(name), np.asarray(numbers, np.int32), "INT32", empty.astype(np.float32), empty, 0
        )

    def _constant(
        self,
        name: str,
        array: NDArray[Any],
        kind: str,
        scale: NDArray[np.float32],
        zero_point: NDArray[np.int64],
        axis: int,
    ) -> int:
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        buffer = self._buffers.setdefault(content, len(self._buffers))
        tensor = FileTensor(name, kind, array.shape, scale, zero_point, axis, buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _add(
        self,
        name: str,
        type: IntType,
        shape: Sequence[int],
        params: QuantParams | None,
        array: NDArray[Any] | None,
    ) -> int:
        kind = _KINDS.get(IntType(type.bits, type.signed) if not type.bipolar else type)
        if kind is None:
            raise ExportError(
                f"tensor '{name}': expected int8, uint8, int16 or int32, got {type}, which TFLite's kernels for "
                "quantized networks do not take"
            )
        scale, zero_point = np.zeros(0, np.float32), np.zeros(0, np.int64)
        if params is not None:
            if params.scale.size != 1:
                raise ExportError(f"tensor '{name}': expected one scale, got {params.scale.size}")
            scale, zero_point = params.scale.reshape(1), params.zero_point.reshape(1).astype(np.int64)
        if array is not None:
            return self._constant(name, array, kind, scale, zero_point, 0)
        self.tensors.append(FileTensor(name, kind, tuple(shape), scale, zero_point, 0, 0))
        return len(self.tensors) - 1

    def _fresh(self, name: str) -> str:
        found = fresh(name, self._names)
        self._names.add(found)
        return found

    @property
    def contents(self) -> list[bytes]:
        """Return the contents of constants, by buffer."""
        return list(self._buffers)

    # Ends

    def ends(self) -> tuple[list[int], list[int]]:
        """Return the tensors at the network's ends, with QUANTIZE and DEQUANTIZE at those of float; once."""
        inputs = [self._end("QUANTIZE", name) for name in self.program.inputs]
        outputs = [self._end("DEQUANTIZE", name) for name in self.program.outputs]
        return inputs, outputs

    def _end(self, kind: str, name: str) -> int:
        codes = self.tensor(name)
        if name not in self.program.float_ends:
            return codes
        empty = np.zeros(0, np.int64)
        shape = self.program.tensors[name].shape
        self.tensors.append(FileTensor(name, "FLOAT32", shape, empty.astype(np.float32), empty, 0, 0))
        real = len(self.tensors) - 1
        if kind == "QUANTIZE":
            self.operators.insert(0, FileOperator(kind, 1, (real,), (codes,), "QuantizeOptions"))
        else:
            self.operators.append(FileOperator(kind, 2, (codes,), (real,), "DequantizeOptions"))
        return real

    # Operators

    def operator(
        self, kind: str, inputs: Sequence[int], output: int, table: str = "", version: int = 2, **options: Any
    ) -> None:
        """Add an operator.

        Args:
            kind: TFLite's name.
            inputs, output: indices of tensors.
            table: the schema's name of its options; empty for none.
            version: of the operator; 2 is the first with int8 for most.
            options: called as in the schema: `StrideH`. Texts are names of enumerations' members.
        """
        self.operators.append(FileOperator(kind, version, tuple(inputs), (output,), table, options))
