"""A stream step by step: the states go back as they are, on one grid, whatever grids the network had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.programs import make_accumulator, make_delay

from intaglio.errors import DataError, IntaglioError, ProgramError, UsageError
from intaglio.number import INT8, INT16, INT32, UINT8, QuantParams, Rule
from intaglio.program import Node, Program, TensorInfo, load_program
from intaglio.program.file import to_bytes
from intaglio.program.input_ranges import input_ranges
from intaglio.program.operators.embedding_lookup import EmbeddingLookup
from intaglio.program.operators.reshape import Reshape
from intaglio.program.sampling import grid

READ, KEPT = grid(UINT8, 0.02, 120), grid(INT16, 0.001)
PAIR = {"state": "state_out"}


def streamed(program: Program, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    stream = program.stream()
    return np.stack([stream.step_int(row[None])[0] for row in x])


def by_hand(program: Program, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What a caller does that feeds the states back."""
    (state,) = program.states
    kept, rows = state.initial, []
    for row in x:
        y, kept = program.run_int(row[None], kept)
        rows.append(y[0])
    return np.stack(rows)


def test_a_long_stream_is_what_a_caller_gets_that_feeds_states_back(rng: np.random.Generator) -> None:
    program = make_accumulator(READ, KEPT).with_states(PAIR)
    x = rng.integers(-128, 128, (2000, 3)).astype(np.int8)
    assert_bit_exact(streamed(program, x), by_hand(program, x))


def test_the_stream_follows_its_equation(rng: np.random.Generator) -> None:
    program = make_accumulator(KEPT, KEPT).with_states(PAIR, {"state": [[0.5, -0.25, 1.0]]})
    stream, state = program.stream(), np.array([[0.5, -0.25, 1.0]])
    np.testing.assert_allclose(stream.states["state"], state, atol=1e-6)
    for _ in range(300):
        x = 0.05 * rng.integers(-100, 100, (1, 3)).astype(np.float32)
        y = stream.step(x)
        state = x / 8 + 0.75 * state
        # half a step of 0.001 each time, 1 / (1 - 0.75) times
        np.testing.assert_allclose(stream.states["state"], state, atol=0.003)
        np.testing.assert_allclose(y, np.clip(state + np.array([0.48, 0.52, 0.48]), -5.12, 5.08), atol=0.03)


def test_a_stream_begins_again_and_several_run_side_by_side(rng: np.random.Generator) -> None:
    program = make_accumulator(READ, KEPT).with_states(PAIR, {"state": 0.4})
    x = rng.integers(-128, 128, (50, 4, 3)).astype(np.int8)
    several, one = program.stream(streams=4), program.stream()
    together = np.stack([several.step_int({"x": row}) for row in x])
    for k in range(4):
        one.reset()
        assert_bit_exact(np.stack([one.step_int(row[k : k + 1])[0] for row in x]), together[:, k])


def test_a_stream_owns_its_states() -> None:
    """Outputs of the interpreter may be views of its inputs, which callers fill again for the next step."""
    program = make_delay()
    stream, x = program.stream(), np.empty((1, 4), np.int8)
    for step in range(1, 6):
        x[:] = step
        assert stream.step_int(x).tolist() == [[2 * step - 1] * 4]
    stream.states["count"][:] = 9
    assert stream.states["count"].tolist() == program.states[1].initial.tolist() == [[3] * 4]
    several = program.stream(streams=3)
    for _ in range(2):
        several.step_int(np.zeros((3, 4), np.int8))
    np.testing.assert_allclose(several.states["kept"], [[0.5, 0.6, 0.7, 0.8]] * 3, atol=1e-6)


@pytest.mark.parametrize("batched", [True, False])
def test_an_input_takes_the_grid_to_which_the_network_brings_it(batched: bool) -> None:
    before = make_accumulator(READ, KEPT, batched=batched)
    program = before.with_states(PAIR, {"state": 0.25})
    program.verify()
    assert [node.name for node in program.nodes] == ["state.rows.node", "state_out.node", "y.node"]
    assert program.tensors["state"].params == program.tensors["state_out"].params == KEPT
    assert program.states[0].initial.tolist() == [[250, 250, 250]]
    assert [node.name for node in before.nodes][1] == "state.inner.node"  # as it was


@pytest.mark.parametrize("batched", [True, False])
def test_an_initial_index_lies_in_its_table(batched: bool) -> None:
    """A state of plain integers, such as the last token, is an index that the network reads a table with."""
    table = np.arange(10, dtype=np.int8).reshape(5, 2)
    tensors = {name: TensorInfo(name, (1, 1), INT32) for name in ("token", "next")}
    tensors["row"] = TensorInfo("row", (1, 1, 2), INT8, grid(INT8, 0.1))
    tensors["table"] = TensorInfo("table", table.shape, INT8)
    nodes = [
        Node("read", EmbeddingLookup(), ("table", "token"), "row"),
        Node("same", Reshape((-1 if batched else 1, 1)), ("token",), "next"),
    ]
    program = Program(
        nodes, tensors, {"table": table}, ("token",), ("row", "next"), Rule.HALF_UP, "test", batched=batched
    )
    kept = program.with_states({"token": "next"}, {"token": 4})
    assert kept.stream().step_int().tolist() == [[[8, 9]]]
    assert kept.states[0].initial.tolist() == [[4]]
    low = input_ranges(program)["token"][0]
    for wrong in (5, low - 1, 1.5, 1e30):
        with pytest.raises(UsageError, match=rf"initial: expected integers from {low} to 4 for 'token', got others"):
            program.with_states({"token": "next"}, {"token": wrong})


def test_another_grid_is_requantized_behind_the_output(rng: np.random.Generator) -> None:
    plain = make_accumulator(READ, KEPT)
    nodes = [replace(n, inputs=tuple("state" if i == "state.rows" else i for i in n.inputs)) for n in plain.nodes]
    other = grid(UINT8, 0.02, 100)  # the network brings the state to a grid that is not the output's
    tensors = {**plain.tensors, "state.inner": replace(plain.tensors["state.inner"], type=UINT8, params=other)}
    del tensors["state.rows"]
    change = replace(nodes[1], operator=type(nodes[1].operator).from_real(READ, other, rule=plain.rule))
    add = type(nodes[2].operator).from_real(grid(UINT8, 0.05 / 8, 3), other, KEPT, rule=plain.rule)
    nodes = [change, replace(nodes[2], operator=replace(nodes[2].operator, **vars(add))), nodes[3]]
    program = replace(plain, nodes=nodes, tensors=tensors)
    made = program.with_states(PAIR)
    made.verify()
    assert [node.output for node in made.nodes] == ["state.inner", "state_out.own", "y", "state_out"]
    assert made.outputs == ("y", "state_out") and made.tensors["state_out"].params == READ
    x = rng.integers(-128, 128, (5, 3)).astype(np.int8)
    state = rng.integers(0, 256, (5, 3)).astype(np.uint8)
    kept, want = made.run_int(x, state)[1], program.run_int(x, state)[1]
    real = KEPT.dequantize(want).clip(*READ.dequantize(np.array([0, 255])))
    assert np.abs(READ.dequantize(kept) - real).max() <= 0.0101


def test_states_are_kept_in_the_file(tmp_path: Path, rng: np.random.Generator) -> None:
    program = make_accumulator(READ, KEPT).with_states(PAIR, {"state": [[0.1, 0.2, 0.3]]})
    program.save(tmp_path / "model.intaglio")
    again = load_program(tmp_path / "model.intaglio")
    assert to_bytes(again) == to_bytes(program)
    x = rng.integers(-128, 128, (20, 3)).astype(np.int8)
    assert_bit_exact(streamed(again, x), streamed(program, x))
    assert b"states" not in to_bytes(make_accumulator(READ, KEPT))


def declare(states: dict[str, str], initial: Any = None, **changes: Any) -> Callable[[], Any]:
    return lambda: replace(make_accumulator(READ, KEPT), **changes).with_states(states, initial)


def stream_of(*x: Any, **options: Any) -> Callable[[], Any]:
    return lambda: make_accumulator(READ, KEPT).with_states(PAIR).stream(**options).step(*x)


ONE = np.zeros((1, 3), np.float32)
REFUSED = [
    (declare({}), UsageError, "expected at least one pair"),
    (declare({"nothing": "state_out"}), UsageError, "expected an input (x, state), got 'nothing'"),
    (declare({"state": "nothing"}), UsageError, "expected an output (y, state_out), got 'nothing'"),
    (declare({"x": "y", "state": "y"}), UsageError, "got 'y' in 2"),
    (declare(PAIR, {"x": 1.0}), UsageError, "initial: expected names of states (state), got 'x'"),
    (declare(PAIR, {"state": [1.0, 2.0]}), UsageError, "expected shape (1, 3) for 'state', got (2,)"),
    (declare(PAIR, {"state": float("nan")}), UsageError, "expected finite numbers"),
    (declare(PAIR, {"state": "zero"}), UsageError, "expected real numbers"),
    (declare(PAIR, {"state": [[1.0], [1.0, 2.0]]}), UsageError, "expected shape (1, 3) for 'state', got [[1.0], [1.0"),
    (declare([("state", "state_out")]), UsageError, "states: expected a mapping such as {'h': 'h_out'}, got a list"),  # type: ignore[arg-type]
    (declare(PAIR, [0.5]), UsageError, "initial: expected a mapping such as {'h': 0.5}, got a list"),
    (lambda: declare(PAIR)().with_states(PAIR), UsageError, "got one that has some"),
    (lambda: make_accumulator(READ, KEPT).stream(), UsageError, "program.with_states({'state_in': 'state_out'})"),
    (stream_of(ONE, streams=0), UsageError, "streams: expected at least 1, got 0"),
    (stream_of(ONE, streams=1.5), UsageError, "streams: expected a whole number, got 1.5"),
    (stream_of(), DataError, "expected 1 arrays ('x'), got 0; the stream keeps the states"),
    (stream_of(ONE, ONE), DataError, "expected 1 arrays ('x'), got 2"),
    (stream_of({"x": ONE, "state": ONE}), DataError, "expected the inputs 'x', got 'x', 'state'"),
    (stream_of(np.zeros((2, 3), np.float32)), DataError, "expected 1 samples, one for each stream, got 2"),
    (stream_of(np.zeros((1, 4), np.float32)), DataError, "expected shape (N, 3), got (1, 4)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), REFUSED)
def test_what_is_no_stream_is_refused(call: Callable[[], Any], error: type[IntaglioError], text: str) -> None:
    with pytest.raises(error) as found:
        call()
    assert text in str(found.value)


def test_states_of_different_shapes_are_refused() -> None:
    program = make_accumulator(READ, KEPT)
    y = program.tensors["y"]
    program.tensors["y"] = replace(y, shape=(1, 5))
    with pytest.raises(UsageError, match=r"of one shape, got \(1, 3\) and \(1, 5\)"):
        program.with_states({"x": "y"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"input": "y"}, "expected an input of the program, got 'y'"),
        ({"output": "x"}, "expected an output of the program, got 'x'"),
        ({"output": "y"}, "is int16 of shape"),
        ({"initial": np.zeros((1, 3), np.int32)}, "expected initial codes of int16"),
        ({"initial": np.zeros((3,), np.int16)}, "expected initial codes of int16"),
    ],
)
def test_a_program_with_wrong_states_is_found(change: dict[str, Any], text: str) -> None:
    program = make_accumulator(READ, KEPT).with_states(PAIR)
    broken = replace(program, states=(replace(program.states[0], **change),))
    with pytest.raises(ProgramError) as found:
        broken.verify()
    assert text in str(found.value)
    moved = QuantParams(INT16, np.float32(0.002))
    program.tensors["state"] = replace(program.tensors["state"], params=moved)
    with pytest.raises(ProgramError, match="its codes mean other numbers"):
        program.verify()
