"""Types of inputs and outputs: every real number keeps its integer, and each engine gives the same."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intaglio_tests.programs import make_accumulator
from torch import nn

import intaglio as ig
from intaglio.errors import ProgramError, UsageError
from intaglio.number import INT8, INT16, INT32, UINT8, IntType, QuantParams, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.io_types import IO_TYPES
from intaglio.program.operators.clamp import Clamp
from intaglio.program.sampling import grid
from intaglio.program.structure import ProgramState

OWN = [INT8, UINT8, INT16, IntType(8, narrow=True), IntType(4), IntType(4, signed=False), IntType(1, bipolar=True)]


def network(own: IntType, zero_point: int, rule: Rule = Rule.HALF_UP) -> Program:
    """A program that hands on its codes."""
    params = QuantParams(own, np.float32(0.037), zero_point)
    tensors = {name: TensorInfo(name, (1, 5), own, params) for name in ("x", "y")}
    return Program([Node("same", Clamp(own.qmin, own.qmax), ("x",), "y")], tensors, {}, ("x",), ("y",), rule, "test")


@pytest.mark.parametrize("rule", list(Rule), ids=lambda rule: rule.value)
@pytest.mark.parametrize("type", [name for name, type in IO_TYPES.items() if type])
@pytest.mark.parametrize("own", OWN, ids=str)
def test_every_code_keeps_its_number(own: IntType, type: str, rule: Rule) -> None:
    for zero_point in {0} if own.bipolar else {0 if own.signed else own.qmax, own.qmin, own.qmax, own.qmin // 2}:
        program = network(own, zero_point, rule)
        wanted = IO_TYPES[type]
        assert wanted is not None
        if own.bits > wanted.bits:
            with pytest.raises(UsageError, match=f"'y': expected a type that holds every code.*got {type} for int16"):
                program.with_io_types(outputs=type)
            with pytest.raises(UsageError, match=f"'x': expected a type that holds every code.*got {type} for int16"):
                program.with_io_types(inputs=type)
            continue
        moved = program.with_io_types(type, type)
        moved.verify()
        for name in ("x", "y"):
            info = moved.tensors[name]
            assert (info.type.bits, info.type.signed) == (wanted.bits, wanted.signed)
        codes = np.array([-1, 1] if own.bipolar else range(own.qmin, own.qmax + 1)).astype(own.dtype)
        codes = np.resize(codes, (-(-codes.size // 5), 5))
        info = program.tensors["x"]
        assert info.params is not None
        real = info.params.dequantize(codes)
        far = np.float32([[-1e30, 1e30, 0, -0.0, 0.037 * 0.5], [1e-30, -300.0, 3.7, 12.3, 99.9]])
        for x in (real, far):
            np.testing.assert_array_equal(moved.run(x), program.run(x))


def test_the_shift_between_int8_and_uint8_is_128_and_int16_has_zero_point_0() -> None:
    program = network(INT8, -5)
    x = np.arange(-128, 127, dtype=np.int8).reshape(-1, 5)
    moved = program.with_io_types("uint8", "uint8")
    np.testing.assert_array_equal(moved.run_int((x.astype(int) + 128).astype(np.uint8)), x.astype(int) + 128)
    assert int(moved.tensors["y"].params.zero_point) == 123  # type: ignore[union-attr]
    np.testing.assert_array_equal(program.with_io_types(outputs="int16").run_int(x), x.astype(int) + 5)


def test_a_second_type_replaces_the_first() -> None:
    program = network(INT8, 3).with_io_types("uint8", {"y": "float32"})
    assert program.float_ends == ("y",)
    assert program.with_io_types(outputs="uint8").float_ends == ()
    back = program.with_io_types("int8")
    x = np.arange(-128, 127, dtype=np.int8).reshape(-1, 5)
    np.testing.assert_array_equal(back.run_int(x), network(INT8, 3).run_int(x))


def ids() -> Program:
    """A table that is read by int32 indices, beside real numbers that are only handed on."""
    torch.manual_seed(0)

    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.dense = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, index: Any, x: Any) -> Any:
            return self.dense(self.table(index) + x)

    rng = np.random.default_rng(0)
    data = {"index": rng.integers(0, 7, (16, 5)).astype(np.int32), "x": rng.normal(size=(16, 5, 4)).astype(np.float32)}
    graph = ig.load(Read().eval(), tuple(torch.from_numpy(v[:1]) for v in data.values()))
    named = dict(zip([str(v.name) for v in graph.inputs], data.values(), strict=True))
    return ig.quantize(graph, named, target="tflite-int8").lower()


def test_indices_stay_and_are_refused_by_name() -> None:
    program = ids()
    index, x = program.inputs
    moved = program.with_io_types("uint8", "uint8")
    assert moved.tensors[index].type == INT32
    assert moved.tensors[x].type == UINT8
    with pytest.raises(UsageError, match=f"input '{index}': expected quantized real numbers, got plain integers"):
        program.with_io_types({index: "uint8"})


def test_states_stay_and_are_refused_by_name() -> None:
    program = make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001))
    streaming = program.with_states({"state": "state_out"})
    state = streaming.states[0]
    moved = streaming.with_io_types("float32", "float32")
    assert not {state.input, state.output} & set(moved.float_ends)
    for kind, name in (("inputs", state.input), ("outputs", state.output)):
        with pytest.raises(UsageError, match=f"'{name}': expected no state"):
            streaming.with_io_types(**{kind: {name: "float32"}})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"inputs": "int4"}, "input 'x': expected one of the types float32, int8, uint8, int16, got 'int4'"),
        ({"outputs": {"z": "int8"}}, "output type: expected one of the outputs y, got 'z'"),
        ({"inputs": 8}, "input type: expected a name such as 'uint8', or types by name, got 8"),
    ],
)
def test_unknown_names_and_types_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        network(INT8, 0).with_io_types(**arguments)


def test_scales_of_channels_and_what_is_handed_on_are_refused() -> None:
    program = network(INT8, 0)
    program.outputs = ("x", "y")
    with pytest.raises(UsageError, match="output 'x': expected an output that the network computes with"):
        program.with_io_types(outputs="uint8")


@pytest.mark.parametrize("ends", [("x",), ("y",), ("x", "y")])
def test_the_file_keeps_float_ends(ends: tuple[str, ...], tmp_path: Path) -> None:
    program = network(INT8, 0)
    program.float_ends = ends
    program.save(tmp_path / "p.intaglio")
    assert ig.load_program(tmp_path / "p.intaglio").float_ends == ends


@pytest.mark.parametrize(("ends", "text"), [(("z",), "expected one input or output"), (("x", "x"), "is named twice")])
def test_wrong_float_ends_are_found(ends: tuple[str, ...], text: str) -> None:
    program = network(INT8, 0)
    program.float_ends = ends
    with pytest.raises(ProgramError, match=text):
        program.verify()


def test_states_of_another_class_are_found() -> None:
    program = make_accumulator(grid(UINT8, 0.02, 120), grid(INT16, 0.001))
    for wrong in ({"input": "a"}, ("a", "b"), ProgramState(program.inputs[0], program.outputs[0], [0])):  # type: ignore[arg-type]
        program.states = (wrong,)  # type: ignore[assignment]
        with pytest.raises(ProgramError, match="states: expected a ProgramState with an array of initial codes"):
            program.verify()


def float_call(native: Any, arrays: list[Any], outputs: list[Any]) -> int:
    """Call `model_run_float` of a library."""
    room = np.zeros(1 << 17, np.uint8)
    start = room.ctypes.data + (-room.ctypes.data % 64)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, *outputs)]
    library = ctypes.CDLL(str(native.library))
    return int(library.model_run_float(*pointers, ctypes.c_void_p(start), ctypes.c_size_t(1 << 16)))


@pytest.mark.parametrize("machine", ["portable", "host"])
@pytest.mark.parametrize("own", [INT8, UINT8, INT16, IntType(4), IntType(1, bipolar=True)], ids=str)
def test_float_ends_of_compiled_c_equal_run(own: IntType, machine: str, tmp_path: Path) -> None:
    program = network(own, 0 if own.bipolar else own.qmin // 2 + 1).with_io_types("float32", "float32")
    native = ig.compile(program, machine=machine, directory=tmp_path)
    rng = np.random.default_rng(0)
    steps = np.concatenate([rng.normal(0, 400, 400), np.arange(-200, 200) + 0.5]).astype(np.float32)
    near = np.nextafter(steps, rng.choice(np.float32([-np.inf, np.inf]), 800)).astype(np.float32)
    x = np.concatenate([steps * np.float32(0.037), near * np.float32(0.037), np.float32([-3e38, 3e38, 0, -0.0, 1e-45])])
    x = x.reshape(-1, 5).astype(np.float32)
    want = program.run(x)
    for row, expected in zip(x, want, strict=True):
        got = np.full(5, np.nan, np.float32)
        assert float_call(native, [row.copy()], [got]) == 0
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))
    for bad in (np.nan, np.inf, -np.inf):
        got = np.full(5, 7, np.float32)
        assert float_call(native, [np.float32([0, 0, bad, 0, 0])], [got]) == 5
        np.testing.assert_array_equal(got, 7)
