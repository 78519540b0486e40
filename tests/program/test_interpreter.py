from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact

from intaglio.errors import DataError
from intaglio.number import INT8, UINT8, Rule
from intaglio.program import Node, Program, TensorInfo, interpreter
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.sampling import grid


def data(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(0, 1, (n, 3, 6, 5)).astype(np.float32), rng.normal(0, 1, (n, 4)).astype(np.float32)


def node_by_node(program: Program, codes: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """All samples at once, nothing dropped."""
    tensors = {**program.constants, **dict(zip(program.inputs, codes, strict=True))}
    for node in program.nodes:
        tensors[node.output] = node.operator.integer(*(tensors[i] for i in node.inputs))
    return tensors


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("chunk", [1, 700, 10**9])
def test_chunks_make_no_difference(
    small_program: Program, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n: int, chunk: int
) -> None:
    monkeypatch.setattr(interpreter, "CHUNK_ELEMENTS", chunk)
    codes = small_program.quantize_inputs(*data(rng, n))
    want = node_by_node(small_program, codes)
    logits, classes = small_program.run_int(*codes)
    assert_bit_exact(logits, want["logits"])
    assert_bit_exact(classes, want["class"])
    traced = small_program.trace(*codes)
    assert set(traced) == set(small_program.tensors)
    for name, array in traced.items():
        assert_bit_exact(array, want[name], name)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_make_no_difference(
    small_program: Program, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    want = small_program.run(*(x := data(rng, 9)))
    monkeypatch.setattr(interpreter, "CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(interpreter, "blas_threads", lambda: threads)
    for got, expected in zip(small_program.run(*x), want, strict=True):
        assert_bit_exact(got, expected)


def test_run_quantizes_and_dequantizes(small_program: Program, rng: np.random.Generator) -> None:
    image, offset = data(rng, 3)
    logits, classes = small_program.run(image, offset)
    tensors = small_program.tensors
    codes = [tensors[n].params.quantize(v) for n, v in (("image", image), ("offset", offset))]  # type: ignore[union-attr]
    want = node_by_node(small_program, tuple(codes))
    assert logits.dtype == np.float32
    assert_bit_exact(logits, tensors["logits"].params.dequantize(want["logits"]))  # type: ignore[union-attr]
    assert classes.dtype == np.int32 and np.array_equal(classes, logits.argmax(axis=1))


def test_inputs_by_name_in_any_order(small_program: Program, rng: np.random.Generator) -> None:
    image, offset = data(rng, 2)
    want = small_program.run(image, offset)
    got = small_program.run({"offset": offset, "image": image})
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    codes = dict(zip(small_program.inputs, small_program.quantize_inputs(image, offset), strict=True))
    assert np.array_equal(small_program.run_int(codes)[0], small_program.run_int(*codes.values())[0])


def test_one_output_comes_bare(small_program: Program, rng: np.random.Generator) -> None:
    small_program.outputs = ("class",)
    assert isinstance(small_program.run(*data(rng, 2)), np.ndarray)


def test_a_program_that_is_not_batched_runs_sample_by_sample(
    small_program: Program, single_sample_program: Program, rng: np.random.Generator
) -> None:
    single_sample_program.verify()
    x = data(rng, 4)
    for got, want in zip(single_sample_program.run(*x), small_program.run(*x), strict=True):
        assert_bit_exact(got, want)


def test_a_result_without_a_batch_axis_gets_one(rng: np.random.Generator) -> None:
    p = grid(INT8, 0.1)
    total = ReduceSum.from_real(p, p, axes=(0, 1), keepdims=False, count=3, rule=Rule.HALF_UP)
    tensors = {"x": TensorInfo("x", (1, 3), INT8, p), "y": TensorInfo("y", (), INT8, p)}
    program = Program([Node("n", total, ("x",), "y")], tensors, {}, ("x",), ("y",), Rule.HALF_UP, "t", batched=False)
    program.verify()
    x = rng.integers(-40, 40, (5, 3)).astype(np.int8)
    assert_bit_exact(program.run_int(x), x.sum(axis=1).astype(np.int8))
    assert program.run_int(x[:1]).shape == ()


def test_trace_real_speaks_the_graphs_names_and_axes(small_program: Program, rng: np.random.Generator) -> None:
    x = data(rng, 2)
    values = small_program.trace_real(*x)
    assert set(values) == {"image", "offset", "features", "flat", "logits", "class"}
    traced = small_program.trace(*small_program.quantize_inputs(*x))
    features = small_program.tensors["conv"].params.dequantize(traced["conv"])  # type: ignore[union-attr]
    assert values["features"].shape == (2, 4, 6, 5)
    assert np.array_equal(values["features"], features.transpose(0, 3, 1, 2))
    assert np.abs(values["image"] - x[0]).max() < 2.1  # saturation is at about 3 sigma


@pytest.mark.parametrize("axes", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2), (2, 0, 1, 3)])
def test_axes_say_where_each_tensor_axis_lies_in_the_graph(axes: tuple[int, ...], rng: np.random.Generator) -> None:
    p = grid(UINT8, 1.0)
    value = rng.integers(0, 9, (1, 2, 3, 4)).astype(np.float32)
    tensor = value.transpose(axes)
    info = TensorInfo("y", tensor.shape, UINT8, p, "value", axes)
    tensors = {"x": replace(info, name="x", graph_name=None), "y": info}
    program = Program([Node("n", Clamp(0, 255), ("x",), "y")], tensors, {}, ("x",), ("y",), Rule.HALF_UP, "t", False)
    assert np.array_equal(program.trace_real(tensor)["value"], value)


def test_tensors_are_dropped_after_their_last_reader(rng: np.random.Generator) -> None:
    p = grid(INT8, 0.1)
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    class Watched(Clamp):
        def integer(self, *inputs: np.ndarray) -> np.ndarray:
            nonlocal most
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            y = super().integer(*inputs)
            alive.append(weakref.ref(y))
            return y

    names = [f"t{i}" for i in range(9)]
    tensors = {n: TensorInfo(n, (1, 4), INT8, p) for n in names}
    nodes = [Node(b, Watched(-5, 5), (a,), b) for a, b in pairwise(names)]
    program = Program(nodes, tensors, {}, ("t0",), ("t8",), Rule.HALF_UP, "t")
    program.run_int(rng.integers(-9, 9, (2, 4)).astype(np.int8))
    assert most == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda i, o: (i,), r"inputs: expected 2 arrays \('image', 'offset'\), got 1"),
        (lambda i, o: ({"image": i},), "inputs: expected 'image', 'offset', got 'image'"),
        (lambda i, o: ({"image": i, "ofset": o},), "expected 'image', 'offset', got 'image', 'ofset'"),
        (lambda i, o: (i[0], o), r"input 'image': expected shape \(N, 3, 6, 5\), got \(3, 6, 5\); add a batch axis"),
        (lambda i, o: (i.transpose(0, 2, 3, 1), o), r"got \(2, 6, 5, 3\); the axes look permuted"),
        (lambda i, o: (i[:, :2], o), r"expected shape \(N, 3, 6, 5\), got \(2, 2, 6, 5\)$"),
        (lambda i, o: (i[:0], o[:0]), r"got \(0, 3, 6, 5\)"),
        (lambda i, o: (i, o[:1]), r"expected the same number of samples in each, got \[1, 2\]"),
        (lambda i, o: (i.astype(str), o), "expected real numbers, got an array of <U"),
        (lambda i, o: (i.astype(complex), o), "expected real numbers, got an array of complex128"),
        (lambda i, o: (i.astype(object), o), "expected real numbers, got an array of object"),
        (
            lambda i, o: (np.where(i == i[1, 2, 3, 4], np.nan, i), o),
            r"got nan at \(1, 2, 3, 4\) \(1 of 180 are not finite\)",
        ),
        (
            lambda i, o: (i, np.full_like(o, np.inf)),
            r"input 'offset': expected finite numbers, got inf at \(0, 0\) \(8 of 8",
        ),
    ],
)
def test_bad_data_is_named(small_program: Program, rng: np.random.Generator, change, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=text):
        small_program.run(*change(*data(rng, 2)))


def test_codes_have_to_be_codes(small_program: Program, rng: np.random.Generator) -> None:
    image, offset = small_program.quantize_inputs(*data(rng, 2))
    wide = image.astype(np.int64)
    assert np.array_equal(small_program.run_int(wide, offset)[0], small_program.run_int(image, offset)[0])
    wide[0, 0, 0, 0] = 256
    with pytest.raises(DataError, match=r"input 'image': expected codes of uint8 \(0 to 255\), got .* to 256"):
        small_program.run_int(wide, offset)
    with pytest.raises(DataError, match="expected integers of type int8, got an array of float32"):
        small_program.run_int(image, offset.astype(np.float32))


def test_integer_images_are_real_numbers_too(small_program: Program) -> None:
    image, offset = np.full((1, 3, 6, 5), 2, np.uint8), np.zeros((1, 4), np.int32)
    want = small_program.run(image.astype(np.float32), offset.astype(np.float32))
    assert_bit_exact(small_program.run(image, offset)[0], want[0])


def test_a_program_that_is_not_batched_still_wants_its_shapes(
    single_sample_program: Program, rng: np.random.Generator
) -> None:
    image, offset = data(rng, 2)
    with pytest.raises(DataError, match="expected the same number of samples in each"):
        single_sample_program.run(image, offset[:1])
