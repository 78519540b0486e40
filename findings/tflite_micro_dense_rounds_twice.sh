#!/usr/bin/env bash
# TensorFlow Lite Micro 0.dev20261023182759 rounds the int8 product of FULLY_CONNECTED twice, first to a fraction of the
# result's step; LiteRT 2.3.0's reference kernel rounds it once, ties away from zero. So one file has other integers on a
# microcontroller than in the reference.
# Seen: codes -8 to 8 times 1, requantized by 1/4: 1 becomes 0 in LiteRT and 1 in TensorFlow Lite Micro (1/4 to 1/2 to 1),
# and 5 becomes 1 and 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet ai-edge-litert==2.3.0 tflite-micro==0.dev20261023182759 flatbuffers==25.12.19 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime


def run(name, x, constants, shape, options, version, **attributes):
    """The codes of one operator in LiteRT's reference kernels and in TensorFlow Lite Micro."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers, graph.tensors = 3, [graph], [schema.BufferT()], []

    def tensor(shape, dtype, scale, data=None):
        made = schema.TensorT()
        made.name, made.shape, made.buffer = f"t{len(graph.tensors)}", list(shape), 0
        made.type = schema.TensorType.INT8 if dtype == np.int8 else schema.TensorType.INT32
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    graph.inputs = [tensor(x.shape, x.dtype, 1.0)]
    operator.inputs = graph.inputs + [tensor(data.shape, data.dtype, scale, data) for data, scale in constants]
    operator.outputs = graph.outputs = [tensor(shape, np.int8, 4.0)]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, f"{options}T")()
    for key, value in attributes.items():
        setattr(operator.builtinOptions, key, value)
    model.operatorCodes, graph.operators = [code], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    content = bytes(builder.Output())
    interpreter = litert.Interpreter(
        model_content=content, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    micro = runtime.Interpreter.from_bytes(content)
    micro.set_input(x, 0)
    micro.invoke()
    results = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), micro.get_output(0)
    return [np.asarray(codes).reshape(-1).astype(int) for codes in results]


x, weight, bias = np.arange(-8, 9).astype(np.int8), np.ones((1, 1), np.int8), np.zeros(1, np.int32)
full, micro = run("FULLY_CONNECTED", x[:, None], [(weight, 1.0), (bias, 1.0)], (x.size, 1), "FullyConnectedOptions", 4)
print("codes:           ", *(f"{value:2d}" for value in x))
print("LiteRT reference:", *(f"{value:2d}" for value in full))
print("TFLite Micro:    ", *(f"{value:2d}" for value in micro))
once = np.sign(x) * np.floor(np.abs(x) / 4 + 0.5)
sys.exit(not np.array_equal(full, once) or x[full != micro].tolist() != [1, 5])
PYTHON
