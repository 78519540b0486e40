"""Convert a model to bytes and arrays for `pickle`; weights stay beside the protobuf, which cannot hold 2 GiB."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

_BESIDE = 1024
"""Constants of so many bytes and more are kept as arrays."""

State = tuple[bytes, dict[str, NDArray[Any]]]


def to_state(model: ir.Model) -> State:
    """Serialize a model without its large constants.

    Returns:
        The bytes, and the large constants by name.
    """
    bare, arrays = model.clone(), {}
    for name, value in bare.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= _BESIDE:
            arrays[name] = tensor.numpy()
            value.const_value = ir.Tensor(tensor.numpy().reshape(-1)[:0], dtype=tensor.dtype, name=name)
    return ir.to_proto(bare).SerializeToString(), arrays


def from_state(state: State) -> ir.Model:
    """Read a model from what `to_state` returned."""
    serialized, arrays = state
    model: ir.Model = ir.from_proto(onnx.ModelProto.FromString(serialized))
    for name, array in arrays.items():
        value = model.graph.initializers[name]
        assert value.const_value is not None
        value.const_value = ir.Tensor(array, dtype=value.const_value.dtype, name=name)
        value.shape = ir.Shape(array.shape)
    return model
