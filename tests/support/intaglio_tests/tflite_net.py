"""Small .tflite files, written with the schema's object interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

_VERSIONS = {
    "FULLY_CONNECTED": 4, "TRANSPOSE_CONV": 4, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "SQUARED_DIFFERENCE": 2,
    **dict.fromkeys(("ELU", "EXP", "HARD_SWISH", "PRELU", "RELU_N1_TO_1", "RESHAPE", "GELU"), 1),
}  # fmt: skip
"""Of operators that LiteRT knows in other versions than 2."""


class TfliteNet:
    """A network under construction: tensors, then operators in their order."""

    def __init__(self) -> None:
        self.schema = pytest.importorskip(
            "ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert (extra `peers`)"
        )
        self.model, self.graph = self.schema.ModelT(), self.schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [self.schema.BufferT()], []
        self.graph.tensors, self.graph.operators, self.graph.inputs = [], [], []

    def tensor(
        self,
        shape: Sequence[int],
        dtype: Any = np.float32,
        scale: Any = None,
        zero_point: Any = 0,
        *,
        axis: int = 0,
        data: np.ndarray | None = None,
        name: str | None = None,
    ) -> int:
        """Add a tensor; returns its index."""
        t = self.schema.TensorT()
        dtype = np.dtype(dtype)
        t.name, t.shape = name or f"t{len(self.graph.tensors)}", [int(s) for s in shape]
        t.type, t.buffer = getattr(self.schema.TensorType, dtype.name.upper()), 0
        if scale is not None:
            q = t.quantization = self.schema.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(scale, np.float32)).tolist()
            q.zeroPoint = np.broadcast_to(np.asarray(zero_point), len(q.scale)).tolist()
            q.quantizedDimension = axis
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            t.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def constant(self, array: np.ndarray, scale: Any = None, zero_point: Any = 0, *, axis: int = 0) -> int:
        """Add a constant."""
        return self.tensor(array.shape, array.dtype, scale, zero_point, axis=axis, data=array)

    def input(self, shape: Sequence[int], dtype: Any = np.float32, scale: Any = None, zero_point: Any = 0) -> int:
        """Add an input of the network."""
        self.graph.inputs.append(self.tensor(shape, dtype, scale, zero_point))
        return self.graph.inputs[-1]

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], table: str = "", **options: Any) -> None:
        """Add an operator; `table` names the class of its options."""
        code, operator = self.schema.OperatorCodeT(), self.schema.OperatorT()
        code.builtinCode = getattr(self.schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = _VERSIONS.get(kind, 2)
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if table:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(self.schema, f"{table}T")()
            for name, value in options.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        self.graph.operators.append(operator)

    def content(self, outputs: Sequence[int]) -> bytes:
        """The file."""
        flatbuffers = pytest.importorskip("flatbuffers", reason="needs flatbuffers, which ai-edge-litert brings along")
        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
