"""The bytes of a .tflite file."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from intaglio.export.tflite.tflite_file import FileOperator, FileTensor, TfliteFile

_METADATA = "intaglio"
_RUNTIME = b"2.5.0"  # the first TensorFlow Lite with all operators of the rows, in their versions

_Code = tuple[str, int]


def file_content(file: TfliteFile, layouts: Mapping[str, str]) -> bytes:
    """Return a file.

    Args:
        file: all tensors and operators of the Program are in it.
        layouts: order of axes of inputs and outputs that are images, for the metadata.
    """
    flat, program = file.flat, file.program
    inputs, outputs = file.ends()
    codes = sorted({(op.kind, op.version) for op in file.operators})
    notes = {"target": program.target, "rule": program.rule.value, "layouts": dict(layouts), **program.metadata}
    extra = {_METADATA: json.dumps(notes).encode(), "min_runtime_version": _RUNTIME.ljust(16, b"\0")}
    constants = file.contents
    metadata = [flat.table("Metadata", Name=flat.text(name), Buffer=len(constants) + i) for i, name in enumerate(extra)]
    buffers = [
        flat.table("Buffer", Data=flat.content(data) if data else None) for data in (*constants, *extra.values())
    ]
    model = flat.table(
        "Model",
        Version=3,
        OperatorCodes=flat.tables([_code(file, *code) for code in codes]),
        Subgraphs=flat.tables([_subgraph(file, codes, inputs, outputs)]),
        Description=flat.text(f"quantized by Intaglio for {program.target}"),
        Buffers=flat.tables(buffers),
        Metadata=flat.tables(metadata),
        SignatureDefs=flat.tables([_signature(file, inputs, outputs)]),
    )
    return flat.finish(model)


def _code(file: TfliteFile, kind: str, version: int) -> int:
    number = file.flat.number("BuiltinOperator", kind)
    return file.flat.table("OperatorCode", DeprecatedBuiltinCode=min(number, 127), Version=version, BuiltinCode=number)


def _subgraph(file: TfliteFile, codes: list[_Code], inputs: list[int], outputs: list[int]) -> int:
    flat = file.flat
    return flat.table(
        "SubGraph",
        Tensors=flat.tables([_tensor(file, tensor) for tensor in file.tensors]),
        Inputs=flat.numbers(inputs, np.int32),
        Outputs=flat.numbers(outputs, np.int32),
        Operators=flat.tables([_operator(file, op, codes) for op in file.operators]),
        Name=flat.text(file.program.metadata.get("name", "main")),
    )


def _tensor(file: TfliteFile, tensor: FileTensor) -> int:
    flat, quantization = file.flat, None
    if tensor.scale.size:
        quantization = flat.table(
            "QuantizationParameters",
            Scale=flat.numbers(tensor.scale, np.float32),
            ZeroPoint=flat.numbers(tensor.zero_point, np.int64),
            QuantizedDimension=tensor.axis,
        )
    return flat.table(
        "Tensor",
        Shape=flat.numbers(tensor.shape, np.int32),
        Type=flat.number("TensorType", tensor.kind),
        Buffer=tensor.buffer,
        Name=flat.text(tensor.name),
        Quantization=quantization,
    )


def _operator(file: TfliteFile, op: FileOperator, codes: list[_Code]) -> int:
    flat, kind, options = file.flat, None, None
    if op.table:
        kind = flat.number("BuiltinOptions", op.table)
        options = flat.table(op.table, **op.options)
    return flat.table(
        "Operator",
        OpcodeIndex=codes.index((op.kind, op.version)),
        Inputs=flat.numbers(op.inputs, np.int32),
        Outputs=flat.numbers(op.outputs, np.int32),
        BuiltinOptionsType=kind,
        BuiltinOptions=options,
    )


def _signature(file: TfliteFile, inputs: list[int], outputs: list[int]) -> int:
    flat = file.flat

    def named(indices: list[int]) -> int:
        rows = [flat.table("TensorMap", Name=flat.text(file.tensors[i].name), TensorIndex=i) for i in indices]
        return flat.tables(rows)

    return flat.table(
        "SignatureDef",
        Inputs=named(inputs),
        Outputs=named(outputs),
        SignatureKey=flat.text("serving_default"),
        SubgraphIndex=0,
    )
