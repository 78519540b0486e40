"""The ONNX graph under construction: values of tensors, their layout, and the pairs that quantize them.

TFLite's images are channels-last, ONNX's operators on images are channels-first. An operator on images defines its
result channels-first; elementwise operators go on in that order; whatever asks for the other order gets a Transpose.
The network's ends keep the order of the file.

A tensor of codes is a real value, its QuantizeLinear and its DequantizeLinear, as in ONNX files with QDQ pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.tflite.contents import TfliteContents, TfliteOperator, TfliteTensor
from intaglio.frontends.tflite.tensor_params import TfliteParams

AttributeValue = int | float | str | Sequence[int] | Sequence[float]
CODES = ("INT4", "INT8", "UINT8", "INT16")
"""Types of which a tensor with parameters holds codes."""


def channels_first(rank: int) -> tuple[int, ...]:
    """Return the transposition from channels-last."""
    return (0, rank - 1, *range(1, rank - 1))


def channels_last(rank: int) -> tuple[int, ...]:
    """Return the transposition to channels-last."""
    return (0, *range(2, rank), 1)


class TfliteBuilder:
    """Builds the graph; each form of an operator (see `operator_forms`) asks it for values and defines its results."""

    def __init__(self, contents: TfliteContents) -> None:
        self.contents = contents
        self.notes: list[str] = [contents.note] if contents.note else []  # for the history
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        self._plain: dict[int, ir.Value] = {}  # real values in the order of the file
        self._first: dict[int, ir.Value] = {}  # real values channels-first
        self._names = {tensor.name for tensor in _tensors(contents)}
        self._outputs = {tensor.index for tensor in contents.outputs}
        self._current = ""
        self.inputs = [self._input(tensor) for tensor in contents.inputs]

    # Values

    def value(self, tensor: TfliteTensor) -> ir.Value:
        """Return a tensor's real value in the order of the file."""
        if tensor.data is not None:
            return self.constant_of(tensor)
        if tensor.index not in self._plain and tensor.index in self._first:
            turned = self._first[tensor.index]
            perm = channels_last(len(tensor.shape))
            self._plain[tensor.index] = self.node("Transpose", [turned], {"perm": perm}, name=f"{tensor.name}.last")
        return self._known(self._plain, tensor)

    def first(self, tensor: TfliteTensor) -> ir.Value:
        """Return an image's real value channels-first."""
        perm = channels_first(len(tensor.shape))
        if tensor.data is not None:
            return self.constant_of(tensor, perm)
        if tensor.index not in self._first:
            source = self._known(self._plain, tensor)
            self._first[tensor.index] = self.node("Transpose", [source], {"perm": perm}, name=f"{tensor.name}.first")
        return self._first[tensor.index]

    def is_first(self, tensor: TfliteTensor | None) -> bool:
        """Tell whether a tensor is an image that was computed channels-first."""
        return tensor is not None and tensor.index in self._first and tensor.index not in self._plain

    def is_real(self, tensor: TfliteTensor) -> bool:
        """Tell whether a tensor is no number of codes."""
        return tensor.params is None or tensor.kind not in CODES

    def _known(self, values: Mapping[int, ir.Value], tensor: TfliteTensor) -> ir.Value:
        if tensor.index not in values:
            raise ModelError(
                f"tensor '{tensor.name}': expected an input, a constant or the result of an operator before, got none; "
                "the file is damaged"
            )
        return values[tensor.index]

    # Constants

    def constant(self, array: NDArray[Any], name: str) -> ir.Value:
        """Add a constant."""
        content = np.ascontiguousarray(array)
        unique = self.unique(name)
        tensor = ir.Tensor(content, name=unique)
        value = ir.Value(
            name=unique, shape=ir.Shape(content.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.initializers.append(value)
        return value

    def ints(self, name: str, numbers: Sequence[int]) -> ir.Value:
        """Add a constant list of int64: sizes, axes, pads."""
        return self.constant(np.array(numbers, np.int64), name)

    def constant_of(
        self, tensor: TfliteTensor, perm: tuple[int, ...] | None = None, shape: Sequence[int] = ()
    ) -> ir.Value:
        """Add a tensor's constant, transposed, then in another shape; codes are followed by a DequantizeLinear.

        Raises:
            ModelError: it has channels, and a shape is asked for that loses their axis.
        """
        assert tensor.data is not None
        array, params = tensor.data, tensor.params
        if perm is not None:
            array, params = array.transpose(perm), None if params is None else params.moved(perm)
        if shape:
            array = array.reshape(shape)
        if self.is_real(tensor) or params is None:
            array = array.astype(np.float32) if array.dtype in (np.float16, np.float64) else array
            return self.constant(array, tensor.name)
        if shape and params.axis is not None:
            raise ModelError(f"tensor '{tensor.name}': expected one scale, got {params.scale.size}")
        return self.dequantized(array, params, tensor.name)

    def dequantized(self, codes: NDArray[Any], params: TfliteParams, name: str) -> ir.Value:
        """Add a constant of codes and the DequantizeLinear that reads it."""
        given = [self.constant(codes, f"{name}_quantized"), *self._parameters(params, codes.dtype, name)]
        return self.node("DequantizeLinear", given, _axis(params), name=name)

    def _parameters(self, params: TfliteParams, dtype: np.dtype[Any], name: str) -> list[ir.Value]:
        size: tuple[int, ...] = () if params.axis is None else (-1,)
        return [
            self.constant(params.scale.reshape(size), f"{name}.scale"),
            self.constant(params.zero_point.astype(dtype).reshape(size), f"{name}.zero_point"),
        ]

    # Nodes

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        name: str = "",
    ) -> ir.Value:
        """Add a node with one result; both have the name, made unique."""
        return self.node_of(op_type, inputs, attributes, name=name, outputs=1)[0]

    def node_of(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, AttributeValue] | None = None,
        *,
        name: str = "",
        outputs: int,
    ) -> list[ir.Value]:
        """Add a node with several results."""
        given = [ir.convenience.convert_attribute(key, value) for key, value in (attributes or {}).items()]
        wanted = self.unique(name or f"{self._current}.{op_type}")
        node = ir.Node("", op_type, inputs, given, num_outputs=outputs, name=wanted)
        for i, output in enumerate(node.outputs):
            output.name = wanted if outputs == 1 else self.unique(f"{wanted}.{i}")
        self.nodes.append(node)
        return list(node.outputs)

    def unique(self, name: str) -> str:
        """Return the name, numbered where it is taken, and take it."""
        wanted, number = name, 1
        while name in self._names:
            name, number = f"{wanted}.{number}", number + 1
        self._names.add(name)
        return name

    # Results

    def begin(self, operator: TfliteOperator) -> None:
        """Note for which operator the next nodes are."""
        self._current = operator.outputs[0].name if operator.outputs else operator.kind

    def define(self, tensor: TfliteTensor, value: ir.Value, *, first: bool = False) -> None:
        """Make a value a tensor's real value; a tensor of codes gets a QuantizeLinear and a DequantizeLinear.

        Args:
            tensor: a result of the operator.
            value: what a node computes; it takes the tensor's name.
            first: whether it is channels-first.
        """
        at_end = tensor.index in self._outputs
        name = tensor.name if not at_end else self.unique(f"{tensor.name}.real")
        value.name = name
        producer = value.producer()
        assert producer is not None
        producer.name = (
            self.unique(f"{tensor.name}.{producer.op_type}") if producer.name in self._names else tensor.name
        )
        if not self.is_real(tensor):
            value = self._dequantize(tensor, self._quantize(tensor, value), f"{tensor.name}.read")
        (self._first if first else self._plain)[tensor.index] = value

    def _quantize(self, tensor: TfliteTensor, value: ir.Value) -> ir.Value:
        return self.node("QuantizeLinear", [value, *self._grid(tensor)], name=f"{tensor.name}.codes")

    def _dequantize(self, tensor: TfliteTensor, codes: ir.Value, name: str) -> ir.Value:
        return self.node("DequantizeLinear", [codes, *self._grid(tensor)], name=name)

    def _grid(self, tensor: TfliteTensor) -> list[ir.Value]:
        params = tensor.params
        assert params is not None
        if params.axis is not None:
            raise ModelError(
                f"tensor '{tensor.name}': expected one scale for a computed tensor, got {params.scale.size}; quantize "
                "activations per tensor"
            )
        return self._parameters(params, tensor.dtype, tensor.name)

    # Ends

    def _input(self, tensor: TfliteTensor) -> ir.Value:
        try:
            kind = ir.DataType.from_numpy(tensor.dtype)
        except (KeyError, TypeError):
            raise UnsupportedOperatorError(
                f"input '{tensor.name}': expected numbers, got {tensor.kind}; convert the model with numbers as inputs"
            ) from None
        unknown = [axis for axis in tensor.open_axes if axis]
        if unknown:
            raise UnsupportedOperatorError(
                f"input '{tensor.name}': expected known sizes but for the batch, got axis {unknown[0]} open in the "
                "file's signature; convert the model with a static shape"
            )
        value = ir.Value(name=tensor.name, shape=ir.Shape(tensor.shape), type=ir.TensorType(kind))
        self._plain[tensor.index] = value
        if not self.is_real(tensor):
            self._plain[tensor.index] = self._dequantize(tensor, value, f"{tensor.name}.read")
        return value

    def outputs(self) -> list[ir.Value]:
        """Return the network's outputs, in the order of the file; codes stay codes."""
        found = []
        for tensor in self.contents.outputs:
            value = self.value(tensor)
            if self.is_real(tensor):
                value = self.node("Identity", [value], name=f"{tensor.name}.output")
            else:
                value = self._quantize(tensor, value)
            value.name = tensor.name
            found.append(value)
        return found


def _axis(params: TfliteParams) -> dict[str, AttributeValue]:
    return {} if params.axis is None else {"axis": params.axis}


def _tensors(contents: TfliteContents) -> list[TfliteTensor]:
    found = [*contents.inputs, *contents.outputs]
    for operator in contents.operators:
        found += [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    return found
