"""The main subgraph of a .tflite file as plain records, checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.elements import dtype_of, elements_of
from intaglio.frontends.tflite.schema import TfliteOptions, count, names_of, options_of, root
from intaglio.frontends.tflite.tensor_params import TfliteParams, read_parameters

LARGEST = 2**31 - 1
"""Elements of a tensor: as many as TFLite's own sizes allow."""


@dataclass(frozen=True, eq=False)
class TfliteTensor:
    """A tensor.

    Args:
        index: position in the subgraph.
        name: unique in the subgraph.
        kind: TFLite's name of its type, such as INT8.
        shape: all sizes known; `open_axes` are those that the file leaves to the caller.
        data: the constant's elements in `shape`; None for what is computed.
        params: scales and zero points; None where the file has none.
    """

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    open_axes: tuple[int, ...]
    data: NDArray[Any] | None
    params: TfliteParams | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of its elements."""
        return dtype_of(self.kind)


@dataclass(frozen=True, eq=False)
class TfliteOperator:
    """An operator.

    Args:
        kind: TFLite's name, such as CONV_2D.
        index: position in the subgraph.
        inputs: tensors; None where an optional one is left out.
        outputs: tensors.
        options: its builtin options.
    """

    kind: str
    index: int
    inputs: tuple[TfliteTensor | None, ...]
    outputs: tuple[TfliteTensor, ...]
    options: TfliteOptions

    @property
    def where(self) -> str:
        """Name it in errors."""
        return f"[{self.kind} {self.index} '{self.outputs[0].name if self.outputs else ''}']"

    def input(self, index: int) -> TfliteTensor:
        """Return an input that must be there.

        Raises:
            ModelError: it is left out.
        """
        found = self.optional(index)
        if found is None:
            raise ModelError(f"{self.where} expected input {index}, got {len(self.inputs)} inputs without it")
        return found

    def optional(self, index: int) -> TfliteTensor | None:
        """Return an input, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None


@dataclass(frozen=True, eq=False)
class TfliteContents:
    """The main subgraph.

    Args:
        operators: in the order in which they run.
        inputs, outputs: the network's ends, with the names of the signature where the file has one.
        note: a sentence on what else the file holds; empty if nothing.
    """

    operators: tuple[TfliteOperator, ...]
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]
    note: str


def read_contents(content: bytes, name: str) -> TfliteContents:
    """Read the records of a file.

    Raises:
        ModelError: the file is damaged, or has tensors that Intaglio cannot hold.
        UnsupportedOperatorError: it has custom operators.
    """
    return _Reader(content, name).read()


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self.size, self.name = len(content), name
        self.model = root(content, name)
        if not count(self.model.SubgraphsLength(), self.size, "subgraphs"):
            raise ModelError(f"{name}: expected a model with a subgraph, got none; convert the model again")
        self.subgraph = self.model.Subgraphs(0)
        self.ends = self._signature()
        self.seen: set[str] = set()

    def read(self) -> TfliteContents:
        graph = self.subgraph
        tensors = [self._tensor(i) for i in range(count(graph.TensorsLength(), self.size, "tensors"))]
        kinds = list(self._kinds())
        operators = []
        for i in range(count(graph.OperatorsLength(), self.size, "operators")):
            table = graph.Operators(i)
            kind = self._pick(kinds, table.OpcodeIndex(), f"operator {i}: operator code")
            inputs = tuple(
                None if j == -1 else self._pick(tensors, j, f"[{kind} {i}] input") for j in _ints(table.InputsAsNumpy())
            )
            outputs = tuple(self._pick(tensors, j, f"[{kind} {i}] output") for j in _ints(table.OutputsAsNumpy()))
            if kind.startswith("CUSTOM"):
                raise UnsupportedOperatorError(
                    f"[{kind} {i}] expected TFLite's own operators, got a custom one, which only the program that "
                    "registers it can run; convert the model without it, or cut the model before it"
                )
            operators.append(TfliteOperator(kind, i, inputs, outputs, options_of(table)))
        ends = [
            tuple(self._pick(tensors, i, what) for i in _ints(found))
            for what, found in (("input", graph.InputsAsNumpy()), ("output", graph.OutputsAsNumpy()))
        ]
        more = self.model.SubgraphsLength() - 1
        note = f"{more} further subgraphs of the file are not read" if more else ""
        return TfliteContents(tuple(operators), ends[0], ends[1], note)

    @staticmethod
    def _pick(found: list[Any], index: int, what: str) -> Any:
        if not 0 <= index < len(found):
            raise ModelError(f"{what}: expected an index below {len(found)}, got {index}; the file is damaged")
        return found[index]

    def _kinds(self) -> Iterator[str]:
        for i in range(count(self.model.OperatorCodesLength(), self.size, "operator codes")):
            code = self.model.OperatorCodes(i)
            # Numbers above 127 do not fit the older field, which newer files keep beside the newer one.
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            kind = names_of("BuiltinOperator").get(number)
            if kind is None:
                raise UnsupportedOperatorError(
                    f"operator code {i}: expected an operator that the schema knows, got number {number}; "
                    "install a newer schema package"
                )
            yield f"CUSTOM {_text(code.CustomCode())}" if kind == "CUSTOM" else kind

    def _signature(self) -> dict[int, str]:
        """Map tensors to the names that the first signature of the main subgraph gives them."""
        for i in range(count(self.model.SignatureDefsLength(), self.size, "signatures")):
            signature = self.model.SignatureDefs(i)
            if signature.SubgraphIndex() == 0:
                ends = [signature.Inputs(j) for j in range(count(signature.InputsLength(), self.size, "inputs"))]
                ends += [signature.Outputs(j) for j in range(count(signature.OutputsLength(), self.size, "outputs"))]
                return {end.TensorIndex(): _text(end.Name()) for end in ends}
        return {}

    def _tensor(self, index: int) -> TfliteTensor:
        table = self.subgraph.Tensors(index)
        name = self._unique(self.ends.get(index) or _text(table.Name()) or f"tensor_{index}")
        kind = names_of("TensorType").get(table.Type(), str(table.Type()))
        shape = _ints(table.ShapeAsNumpy())
        open_axes = tuple(axis for axis, size in enumerate(_ints(table.ShapeSignatureAsNumpy())) if size < 0)
        if any(size < 0 for size in shape) or math.prod(shape) > LARGEST:
            raise ModelError(f"tensor '{name}': expected sizes of at most {LARGEST} elements, got {shape}")
        buffer = self._pick_buffer(table.Buffer(), name)
        data = None
        if buffer is not None:
            data = elements_of(name, kind, tuple(shape), buffer, sparse=table.Sparsity() is not None)
        return TfliteTensor(index, name, kind, tuple(shape), open_axes, data, read_parameters(table, name, kind, shape))

    def _pick_buffer(self, index: int, name: str) -> NDArray[np.uint8] | None:
        if not 0 <= index < self.model.BuffersLength():
            raise ModelError(f"tensor '{name}': expected a buffer below {self.model.BuffersLength()}, got {index}")
        buffer = self.model.Buffers(index)
        if buffer.Offset() > 1:
            raise ModelError(
                f"tensor '{name}': expected its content inside the flatbuffer, got one beside it, as files above 2 GB "
                "have; convert the model to one of less than 2 GB"
            )
        found = buffer.DataAsNumpy()
        return None if isinstance(found, int) or not found.size else found

    def _unique(self, name: str) -> str:
        wanted, number = name, 1
        while name in self.seen:
            name, number = f"{wanted}.{number}", number + 1
        self.seen.add(name)
        return name


def _ints(array: Any) -> list[int]:
    """Return a list of the schema, which is the number 0 where the file leaves it out."""
    return [] if isinstance(array, int) else [int(x) for x in array]


def _text(found: bytes | None) -> str:
    return "" if found is None else found.decode("utf-8", "replace")
