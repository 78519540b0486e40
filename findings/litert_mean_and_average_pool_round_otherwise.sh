#!/usr/bin/env bash
# LiteRT 2.3.0's int8 reference kernels give two means of the same codes: AVERAGE_POOL_2D divides the sum and rounds to
# the nearest code, MEAN multiplies it by a fixed-point 1/n and rounds twice, also where both scales are equal.
# Seen: all sums of five codes: AVERAGE_POOL_2D returns the nearest code of each mean, MEAN the one next to it for 255
# of 1,276 (3.4 becomes 4). So a global average pool depends on the operator that a converter writes for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema


def run(name, x, constants, shape, options, version, **attributes):
    """The codes that the reference kernel of one operator returns; x and constants are arrays, each with its scale."""
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
    graph.inputs = [tensor(x.shape, x.dtype, 0.1)]
    operator.inputs = graph.inputs + [tensor(data.shape, data.dtype, scale, data) for data, scale in constants]
    operator.outputs = graph.outputs = [tensor(shape, np.int8, 0.1)]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, f"{options}T")()
    for key, value in attributes.items():
        setattr(operator.builtinOptions, key, value)
    model.operatorCodes, graph.operators = [code], [operator]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = litert.Interpreter(
        model_content=bytes(builder.Output()), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(-1).astype(int)


sums = np.arange(5 * -128, 5 * 127 + 1)
x = (sums[:, None] // 5 + (np.arange(5) < sums[:, None] % 5)).astype(np.int8)[:, None, :, None]
mean = run("MEAN", x, [(np.array([1, 2], np.int32), None)], (sums.size, 1), "ReducerOptions", 2)
pool = run(
    "AVERAGE_POOL_2D", x, [], (sums.size, 1, 1, 1), "Pool2DOptions", 2,
    strideH=1, strideW=1, filterHeight=1, filterWidth=5, padding=schema.Padding.VALID,
)
nearest = np.floor(sums / 5 + 0.5)
far = int(np.sum(pool != nearest)), int(np.sum(mean != nearest))
print(f"of {sums.size} means {far[0]} by AVERAGE_POOL_2D and {far[1]} by MEAN are not the nearest code")
i = np.flatnonzero(sums == 17)[0]
print(f"mean of {x[i].reshape(-1).tolist()}: {pool[i]} by AVERAGE_POOL_2D, {mean[i]} by MEAN")
sys.exit(far != (0, 255) or (pool[i], mean[i]) != (3, 4))
PYTHON
