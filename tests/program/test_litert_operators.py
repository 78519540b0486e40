"""Single operators under the rule `tflite` against LiteRT's reference kernels, on random codes and scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact

from intaglio.number import INT8, QuantParams, Requantize, Rule
from intaglio.number.fixedpoint import INT32_MAX
from intaglio.program.float_product import float_product_differences, match_float_product
from intaglio.program.operators.add import Add
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.lut import Lut
from intaglio.program.operators.matmul import MatMul
from intaglio.program.operators.mul import Mul
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.sampling import codes, grid, params

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert (extra `peers`)")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert (extra `peers`)")
flatbuffers = pytest.importorskip("flatbuffers", reason="needs flatbuffers, which ai-edge-litert brings along")

Operand = tuple[np.ndarray, QuantParams | None, bool]  # codes, parameters, whether it is stored in the file


def run_litert(
    name: str, operands: Sequence[Operand], shape: tuple[int, ...], y: QuantParams, options: str = ""
) -> Any:
    """The codes that the reference kernel of one operator returns."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers, graph.tensors = 3, [graph], [schema.BufferT()], []

    def tensor(shape: tuple[int, ...], dtype: np.dtype[Any], p: QuantParams | None, data: np.ndarray | None) -> int:
        t = schema.TensorT()
        t.name, t.shape, t.buffer = f"t{len(graph.tensors)}", list(shape), 0
        t.type = schema.TensorType.INT8 if dtype == np.int8 else schema.TensorType.INT32
        if p is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = p.scale.reshape(-1).tolist()
            t.quantization.zeroPoint = p.zero_point.reshape(-1).tolist()
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.buffer = len(model.buffers) - 1
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    inputs = [tensor(x.shape, x.dtype, p, x if stored else None) for x, p, stored in operands]
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = {"FULLY_CONNECTED": 4, "MEAN": 2}.get(name, 2)
    operator.inputs, operator.outputs = inputs, [tensor(shape, np.dtype(np.int8), y, None)]
    if options:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
    model.operatorCodes, graph.operators, graph.outputs = [code], [operator], operator.outputs
    graph.inputs = [i for i, (_, _, stored) in zip(inputs, operands, strict=True) if not stored]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    interpreter = litert.Interpreter(
        model_content=bytes(builder.Output()), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    given = [x for x, _, stored in operands if not stored]
    for detail, x in zip(interpreter.get_input_details(), given, strict=True):
        interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def dense(x: QuantParams, w: QuantParams, y: QuantParams, bias: np.ndarray) -> np.ndarray:
    """FULLY_CONNECTED of these accumulators: the biases are they, the inputs are zero."""
    weight = np.zeros((bias.size, 1), np.int8)
    operands = [(np.full((1, 1), x.zero_point, np.int8), x, False), (weight, w, True)]
    step = grid(INT8, float(np.float32(x.scale) * np.float32(w.scale)))
    return run_litert(
        "FULLY_CONNECTED", [*operands, (bias.astype(np.int32), step, True)], (1, bias.size), y, "FullyConnectedOptions"
    )


def test_fully_connected_rounds_once_next_to_every_half_step(rng: np.random.Generator) -> None:
    """The accumulators on either side of every step, where the two multiplications may part; scales as they come."""
    for _ in range(20):
        x, w = grid(INT8, rng.uniform(0.01, 0.1)), grid(INT8, rng.uniform(0.0002, 0.01))
        y = params(rng, INT8, scale=0.1)
        factor = float(x.scale) * float(w.scale) / float(y.scale)
        middle = np.rint((np.arange(-256, 256) + 0.5) / factor).astype(np.int64)
        bias = np.unique(np.concatenate([middle + d for d in (-1, 0, 1)]))
        operator = Dense.from_real(x, w, y, np.zeros((bias.size, 1), np.int8), bias, Rule.TFLITE)
        assert_bit_exact(operator.integer(np.zeros((1, 1), np.int8)), dense(x, w, y, bias))


@pytest.mark.parametrize("scales", [(1, 1, 2), (1, 1, 4), (0.5, 0.25, 0.75), (0.5, 0.25, 1.25), (0.25, 0.5, 1)])
def test_ties_of_fully_connected_go_away_from_zero(scales: tuple[float, float, float]) -> None:
    """1/6 and 1/10 tie as numbers, but no binary fraction is 1/6: float64 makes ties of these products all the same."""
    x, w, y = (grid(INT8, s) for s in scales)
    bias = np.arange(-600, 600)
    operator = Dense.from_real(x, w, y, np.zeros((bias.size, 1), np.int8), bias, Rule.TFLITE)
    assert_bit_exact(operator.integer(np.zeros((1, 1), np.int8)), dense(x, w, y, bias))


@pytest.mark.parametrize(("low", "high", "most"), [(1e-4, 1e-2, 0.0), (1e-5, 1e-4, 0.2), (1e-6, 1e-5, 4.0)])
def test_few_accumulators_round_otherwise_than_in_float64(low: float, high: float, most: float) -> None:
    """All accumulators of 31 bits that do not saturate; means over 100 factors. Matching never makes it worse."""
    rng = np.random.default_rng(5)
    left = []
    for factor in np.exp(rng.uniform(np.log(low), np.log(high), 100)).tolist():
        nearest = Requantize.from_real(factor, Rule.HALF_AWAY)
        best = match_float_product(nearest, factor, INT32_MAX, INT8)
        counts = [
            float_product_differences(factor, int(f.multiplier), int(f.shift), INT32_MAX, 256) for f in (nearest, best)
        ]
        assert counts[1] <= counts[0]
        left.append(counts[1])
    assert np.mean(left) <= most


@pytest.mark.parametrize("spatial", [(2, 2), (7, 7), (3, 2), (25, 5)])
@pytest.mark.parametrize("equal", [True, False])
def test_mean_divides_its_multiplier_in_integers(
    spatial: tuple[int, int], equal: bool, rng: np.random.Generator
) -> None:
    x = codes(rng, INT8, (1, *spatial, 512))
    px = params(rng, INT8)
    py = px if equal else params(rng, INT8)
    count = spatial[0] * spatial[1]
    operator = ReduceSum.from_real(px, py, axes=(1, 2), keepdims=False, factor=1 / count, count=count, rule=Rule.TFLITE)
    operands = [(x, px, False), (np.array([1, 2], np.int32), None, True)]
    assert_bit_exact(operator.integer(x), run_litert("MEAN", operands, (1, 512), py, "ReducerOptions"))


SUMS: list[tuple[str, str, Callable[..., Any]]] = [
    ("ADD", "AddOptions", lambda a, b, y: Add.from_real(a, b, y, rule=Rule.TFLITE)),
    ("SUB", "SubOptions", lambda a, b, y: Add.from_real(a, b, y, rule=Rule.TFLITE, subtract=True)),
    ("MUL", "MulOptions", lambda a, b, y: Mul.from_real(a, b, y, rule=Rule.TFLITE)),
]


@pytest.mark.parametrize(("name", "options", "make"), SUMS, ids=[s[0] for s in SUMS])
def test_sums_and_products(name: str, options: str, make: Callable[..., Any], rng: np.random.Generator) -> None:
    for _ in range(10):
        a, b, y = (params(rng, INT8) for _ in range(3))
        x = [codes(rng, INT8, (1, 4096)) for _ in range(2)]
        got = run_litert(name, [(x[0], a, False), (x[1], b, False)], (1, 4096), y, options)
        assert_bit_exact(make(a, b, y).integer(*x), got)


@pytest.mark.parametrize("name", ["LOGISTIC", "TANH"])
def test_functions(name: str, rng: np.random.Generator) -> None:
    x = np.arange(-128, 128, dtype=np.int8)[None]
    for _ in range(10):
        p = params(rng, INT8)
        y = grid(INT8, 1 / 256, -128) if name == "LOGISTIC" else grid(INT8, 1 / 128)
        function = (lambda v: 1 / (1 + np.exp(-v))) if name == "LOGISTIC" else np.tanh
        got = run_litert(name, [(x, p, False)], x.shape, y)
        assert_bit_exact(Lut.from_real(p, y, function).integer(x), got)


@pytest.mark.parametrize(
    ("name", "scales"),
    [
        # With factors of float64, 2 to 6 of the results differ.
        ("MUL", (0.0073989, 0.15715, 0.1609)),
        ("MUL", (0.19472, 0.041777, 1.5754)),
        ("BATCH_MATMUL", (0.14076, 0.13675, 3.5406)),
        ("BATCH_MATMUL", (0.018247, 0.012904, 0.024273)),
    ],
)
def test_factors_of_products_are_rounded_to_float32_as_in_the_kernel(
    name: str, scales: tuple[float, float, float]
) -> None:
    """All pairs of codes: a column times a row."""
    a, b, y = (grid(INT8, scale, -128) for scale in scales)
    column = np.arange(-128, 128, dtype=np.int8).reshape(1, 256, 1)
    row = column.reshape(1, 1, 256)
    if name == "MUL":
        ours = Mul.from_real(a, b, y, rule=Rule.TFLITE).integer(column, row)
        theirs = run_litert(name, [(column, a, False), (row, b, False)], (1, 256, 256), y, "MulOptions")
    else:
        ours = MatMul.from_real(a, b, y, depth=1, rule=Rule.TFLITE).integer(column, row)
        theirs = run_litert(name, [(column, a, False), (row, b, False)], (1, 256, 256), y, "BatchMatMulOptions")
    assert_bit_exact(ours, theirs)
