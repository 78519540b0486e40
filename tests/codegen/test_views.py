"""Views: what needs no step, and what keeps one because its memory is the caller's."""

from __future__ import annotations

import numpy as np
import pytest
from intaglio_tests.plans import Builder, conv, memory_of, steps_of

from intaglio.codegen.lifetimes import plan_memory
from intaglio.codegen.views import Region, find_views, separate_outputs, view_start
from intaglio.number import INT16
from intaglio.program.operators.clamp import Clamp
from intaglio.program.operators.concat import Concat
from intaglio.program.operators.expand import Expand
from intaglio.program.operators.pad import Pad
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.slice import Slice
from intaglio.program.operators.transpose import Transpose

X = (1, 6, 4, 2)


@pytest.mark.parametrize(
    ("operator", "shape", "start"),
    [
        (Reshape((-1, 48)), X, 0),
        (Transpose((0, 3, 1, 2)), (1, 6, 4, 1), 0),
        (Transpose((0, 3, 1, 2)), X, None),
        (Transpose((3, 1, 2, 0)), (1, 6, 4, 1), 0),
        (Slice((1,), (2,), (5,), (1,)), X, 16),
        (Slice((1,), (2,), (5,), (2,)), X, None),
        (Slice((1,), (5,), (-1,), (-1,)), X, None),
        (Slice((1,), (3,), (4,), (5,)), X, 24),
        (Slice((1, 2), (2, 1), (3, 3), (1, 1)), X, 18),
        (Slice((2,), (1,), (3,), (1,)), X, None),
        (Slice((3,), (1,), (2,), (1,)), (1, 1, 1, 2), 1),
        (Slice((), (), (), ()), X, 0),
        (Pad((0, -1, 0, 0), (0, -2, 0, 0), 0), X, 8),
        (Pad((0, 0, -1, 0), (0, 0, 0, 0), 0), X, None),
        (Pad((0, 1, 0, 0), (0, -1, 0, 0), 0), X, None),
        (Expand((-1, 6, 4, 2)), X, 0),
        (Expand((-1, 6, 4, 2)), (1, 6, 1, 2), None),
        (Clamp(0, 1), X, None),
    ],
)
def test_a_view_is_a_contiguous_part_in_the_same_order(operator, shape, start):
    assert view_start(operator, shape, operator.shape(shape)) == start
    if start is not None:
        x = np.arange(np.prod(shape)).reshape(shape)
        y = operator.integer(x)
        assert np.array_equal(x.reshape(-1)[start : start + y.size], y.reshape(-1))


def test_regions_add_up_in_bytes_and_follow_their_root():
    b = Builder(X, type=INT16)
    made = b.node(Clamp(-9, 9), "x0")
    rows = b.node(Slice((1,), (2,), (6,), (1,)), made)
    flat = b.node(Reshape((-1, 32)), rows)
    tail = b.node(Slice((1,), (20,), (32,), (1,)), flat)
    layout = find_views(b.build(b.node(Clamp(0, 5), tail)))
    assert layout.regions[flat] == Region(made, 32)
    assert layout.regions[tail] == Region(made, 72)
    assert layout.views == {"n1", "n2", "n3"}


def test_parts_of_a_concatenation_are_written_into_their_places():
    rng = np.random.default_rng(0)
    b = Builder(X)
    one = b.node(Clamp(-9, 9), "x0")
    two = b.node(conv(rng, b.tensors["x0"], 3, 2, pad=1), "x0")
    flat = b.node(Reshape((-1, 3, 8, 2)), two)
    low = b.node(Reshape((-1, 3, 8, 2)), one)
    joined = b.node(Concat(1), low, flat)
    program = b.build(b.node(Clamp(0, 5), joined))
    layout = find_views(program)
    assert layout.regions[one] == Region(joined, 0)
    assert layout.regions[flat] == Region(joined, 48)
    memory = memory_of(program)
    _, arena, _ = plan_memory(memory, steps_of(program, layout))
    assert arena.offsets[two] == arena.offsets[one] + 48
    assert arena.nbytes == 96


@pytest.mark.parametrize("twice", [True, False])
def test_a_concatenation_copies_inputs_that_cannot_be_views(twice):
    """One tensor has two places, or belongs to the caller."""
    b = Builder(X)
    one = b.node(Clamp(-9, 9), "x0")
    joined = b.node(Concat(1), one, one if twice else "x0")
    layout = find_views(b.build(b.node(Clamp(0, 5), joined)))
    assert "n1" not in layout.views


def test_a_concatenation_of_channels_copies():
    b = Builder(X)
    one, two = b.node(Clamp(-9, 9), "x0"), b.node(Clamp(-5, 5), "x0")
    assert not find_views(b.build(b.node(Concat(3), one, two))).views


def test_an_output_is_written_where_the_caller_wants_it():
    b = Builder(X)
    made = b.node(Clamp(-9, 9), "x0")
    out = b.node(Reshape((-1, 48)), made)
    layout = find_views(b.build(out))
    assert layout.views == {"n1"}
    assert layout.regions[made] == Region(out, 0)


def test_outputs_that_are_views_of_the_callers_memory_or_of_each_other_are_copied():
    b = Builder(X)
    of_input = b.node(Reshape((-1, 48)), "x0")
    made = b.node(Clamp(-9, 9), "x0")
    first, second = b.node(Reshape((-1, 48)), made), b.node(Reshape((-1, 8, 6)), made)
    part = b.node(Slice((1,), (0,), (2,), (1,)), made)
    layout = find_views(b.build(of_input, first, second, part))
    assert layout.views == {"n2"}  # the first of the two is the tensor itself


def test_outputs_that_no_node_makes_get_a_copy():
    b = Builder(X)
    made = b.node(Clamp(-9, 9), "x0")
    program = b.build(made, "x0")
    separate = separate_outputs(program)
    assert separate.outputs[0] == made
    assert separate.outputs[1] not in program.tensors
    assert separate.nodes[-1].inputs == ("x0",)
    separate.verify()
    assert separate_outputs(separate) is separate
    x = np.arange(48, dtype=np.int8).reshape(X)
    assert np.array_equal(separate.run_int(x)[1], x)
