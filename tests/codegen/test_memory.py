"""Memory plans: nothing that is still needed is overwritten, and the arena is as small as it can be or nearly so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intaglio_tests.plans import Builder, Executor, add, conv, memory_of, random_program, steps_of

from intaglio.codegen.check import verify_arena
from intaglio.codegen.lifetimes import plan_memory
from intaglio.codegen.memory import Buffer, Share, live_bytes
from intaglio.codegen.overlap import window_distances
from intaglio.codegen.placement import place
from intaglio.errors import CompileError
from intaglio.number import INT8
from intaglio.program.operators.clamp import Clamp
from intaglio.program.windows import Window

SEEDS = st.integers(0, 2**32 - 1)


def inputs_of(program, seed):
    rng = np.random.default_rng(seed)
    infos = [program.tensors[name] for name in program.inputs]
    return [rng.integers(i.type.qmin, i.type.qmax + 1, i.shape).astype(i.type.dtype) for i in infos]


def outputs_of(program, inputs):
    found = program.run_int(*inputs)
    return found if isinstance(found, tuple) else (found,)


def run_plan(memory, steps, arena, program, seed):
    """Indices of the outputs that the plan gets wrong."""
    inputs = inputs_of(program, seed)
    got = Executor(memory, steps, arena, seed).run(*inputs)
    return [i for i, (g, w) in enumerate(zip(got, outputs_of(program, inputs), strict=True)) if (g != w).any()]


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.booleans(), st.sampled_from([1, 8, 64]), st.integers(1, 3), st.sampled_from([0, 24]))
def test_no_memory_plan_overwrites_a_live_buffer(seed, baremetal, alignment, rows, scratch):
    program = random_program(seed)
    memory = memory_of(program, baremetal=baremetal, alignment=alignment)
    steps, arena, schedule = plan_memory(memory, steps_of(memory.program, memory.layout, rows, scratch))
    verify_arena(memory, steps, arena)
    assert run_plan(memory, steps, arena, program, seed) == []
    assert arena.lower_bound <= arena.nbytes
    assert all(base % alignment == 0 for base in arena.bases.values())
    assert schedule.peak <= schedule.given


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_an_invalid_memory_plan_is_refused_even_where_results_are_right(seed):
    """Every damage that the executor can see is seen by the check."""
    program = random_program(seed)
    memory = memory_of(program, baremetal=True, alignment=1)
    steps, arena, _ = plan_memory(memory, steps_of(memory.program, memory.layout))
    rng = np.random.default_rng(seed)
    moved = sorted(arena.bases)[int(rng.integers(len(arena.bases)))]
    by = int(rng.choice([-3, -1, 1, 2]))
    bases = {**arena.bases, moved: max(0, arena.bases[moved] + by)}
    offsets = {b.name: bases[b.home] + b.at for b in arena.buffers}
    damaged = replace(arena, bases=bases, offsets=offsets, nbytes=arena.nbytes + 8)
    try:
        verify_arena(memory, steps, damaged)
    except CompileError:
        return
    assert run_plan(memory, steps, damaged, program, seed) == []


def chain():
    """Three tensors of 60 bytes, two live at a time."""
    rng = np.random.default_rng(1)
    b = Builder((1, 5, 3, 4))
    a = b.node(conv(rng, b.tensors["x0"], 3, 4, pad=1), "x0")
    c = b.node(conv(rng, b.tensors[a], 3, 4, pad=1), a)
    d = b.node(conv(rng, b.tensors[c], 3, 4, pad=1), c)
    return b.build(b.node(conv(rng, b.tensors[d], 3, 4, pad=1), d))


def test_an_offset_off_by_one_is_found_by_check_and_executor():
    program = chain()
    memory = memory_of(program, alignment=4)
    steps, arena, _ = plan_memory(memory, steps_of(memory.program, memory.layout))
    assert arena.nbytes == arena.lower_bound == 120
    for name in arena.bases:
        by = -1 if arena.bases[name] else 1
        bases = {**arena.bases, name: arena.bases[name] + by}
        damaged = replace(arena, bases=bases, offsets=bases)
        with pytest.raises(CompileError, match="over its input|overwritten"):
            verify_arena(memory, steps, damaged)
        assert run_plan(memory, steps, damaged, program, 3)


def test_rows_follow_their_input_in_both_directions_and_a_lead_too_small_by_a_byte_is_found():
    program = chain()
    memory = memory_of(program, baremetal=True, alignment=1)
    steps, arena, _ = plan_memory(memory, steps_of(memory.program, memory.layout))
    # two rows of 12 bytes more than one image of 60
    assert arena.nbytes == arena.lower_bound == 84
    assert 0 < len(arena.backward) < len(steps)  # to and fro
    assert run_plan(memory, steps, arena, program, 3) == []
    for name in ("t0", "t1", "t2"):
        refused = 0
        for by in (-1, 1):
            bases = {**arena.bases, name: arena.bases[name] + by}
            damaged = replace(arena, bases=bases, offsets=bases, nbytes=arena.nbytes + 1)
            try:
                verify_arena(memory, steps, damaged)
            except CompileError as error:
                assert "over its input" in str(error) or "outside" in str(error)
                refused += 1
        assert refused  # the distances to both neighbours are as small as they may be


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 3), st.integers(1, 9),
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
)  # fmt: skip
def test_leads_and_trails_are_the_smallest_safe_distances(kernel, stride, dilation, pad, height, x_row, y_row, rows):
    window = Window((kernel, 1), (stride, 1), (dilation, 1), (pad, 0, pad, 0))
    out = window.out(height, 1)[0]
    if out < 1:
        return
    lead, trail = window_distances(window, (1, height, 1, x_row), 1, (1, out, 1, y_row), 1, rows)

    def safe(distance, backward):
        """Whether an output `distance` bytes behind the input never spoils a byte that is yet to be read."""
        units = range(0, out, rows)
        spoiled = set()
        for i in reversed(units) if backward else units:
            end = min(i + rows, out)
            low, high = max(0, i * stride - pad), min(height, (end - 1) * stride - pad + window.extent[0])
            written = set(range(distance + i * y_row, distance + end * y_row))
            if (spoiled | written) & set(range(low * x_row, high * x_row)):  # writes may come before reads in a unit
                return False
            spoiled |= written
        return True

    assert safe(-lead, backward=False)
    assert safe(-lead - 1, backward=False)
    assert safe(trail, backward=True)
    assert safe(trail + 1, backward=True)
    reads = any(max(0, i * stride - pad) < min(height, i * stride - pad + window.extent[0]) for i in range(out))
    if pad == 0 and reads:  # with padding, units that read nothing make the formulas cautious
        assert not safe(-lead + 1, backward=False) or lead == 0
        assert not safe(trail - 1, backward=True) or trail == 0


def test_elementwise_outputs_reuse_their_input_only_if_nothing_reads_it_again():
    rng = np.random.default_rng(0)
    b = Builder((1, 4, 4, 4))
    first = b.node(conv(rng, b.tensors["x0"], 1, 4), "x0")
    low = b.node(Clamp(-9, 9), first)
    both = b.node(add(rng, INT8), first, low)
    program = b.build(b.node(conv(rng, b.tensors[both], 1, 4), both))
    memory = memory_of(program)
    _, arena, _ = plan_memory(memory, steps_of(memory.program, memory.layout))
    assert arena.offsets["t1"] != arena.offsets["t0"]  # t0 is read again by the sum
    assert arena.offsets["t2"] in (arena.offsets["t0"], arena.offsets["t1"])
    assert arena.nbytes == 128


def test_an_input_that_is_read_twice_is_reused_only_if_both_operands_allow_it():
    rng = np.random.default_rng(0)
    b = Builder((1, 4, 4, 4))
    first = b.node(conv(rng, b.tensors["x0"], 1, 4), "x0")
    twice = b.node(add(rng, INT8), first, first)
    program = b.build(b.node(conv(rng, b.tensors[twice], 1, 4), twice))
    for alias, nbytes in (((0, 1), 64), ((0,), 128), ((1,), 128)):
        memory = memory_of(program)
        steps = steps_of(program, memory.layout)
        steps[1] = replace(steps[1], call=replace(steps[1].call, may_alias=alias))
        assert plan_memory(memory, steps)[1].nbytes == nbytes


def test_memory_of_inputs_outputs_and_constants_is_never_reused():
    b = Builder((1, 4, 4, 4))
    first = b.node(Clamp(-9, 9), "x0")
    second = b.node(Clamp(-5, 5), first)
    program = b.build(first, second)
    memory = memory_of(program)
    _, arena, _ = plan_memory(memory, steps_of(memory.program, memory.layout))
    assert arena.nbytes == 0
    baremetal = memory_of(program, baremetal=True)
    _, arena, _ = plan_memory(baremetal, steps_of(baremetal.program, baremetal.layout))
    assert arena.offsets["t0"] == arena.offsets["x0"]  # in an arena that holds inputs, a dead input is memory
    assert arena.offsets["t1"] != arena.offsets["t0"]  # but an output stays


def mobilenet_v2():
    """MobileNetV2 1.0 at 224 up to its last convolution."""
    rng = np.random.default_rng(0)
    b = Builder((1, 224, 224, 3))
    x = b.node(conv(rng, b.tensors["x0"], 3, 32, stride=2, pad=1), "x0")
    blocks = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for factor, channels, repeats, first_stride in blocks:
        for i in range(repeats):
            before, wide = x, b.tensors[x].shape[3] * factor
            stride = first_stride if i == 0 else 1
            x = x if factor == 1 else b.node(conv(rng, b.tensors[x], 1, wide), x)
            x = b.node(conv(rng, b.tensors[x], 3, wide, stride=stride, pad=1, groups=wide), x)
            x = b.node(conv(rng, b.tensors[x], 1, channels), x)
            x = b.node(add(rng, INT8), before, x) if i else x
    return b.build(b.node(conv(rng, b.tensors[x], 1, 1280), x))


@pytest.mark.parametrize(("baremetal", "nbytes"), [(False, 1_505_280), (True, 1_209_600)])
def test_mobilenet_v2_reaches_its_bound(baremetal, nbytes):
    """112 x 112 x 96 beside 56 x 56 x 96; and, row by row, one row of the second more than the first."""
    memory = memory_of(mobilenet_v2(), baremetal=baremetal, alignment=64)
    _, arena, schedule = plan_memory(memory, steps_of(memory.program, memory.layout))
    assert arena.nbytes == arena.lower_bound == schedule.peak == nbytes
    assert schedule.exact


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_arenas_of_random_buffers_are_within_a_tenth_of_the_bound(seed):
    """Lifetimes like those of a network: short ones in a row, some long ones."""
    rng = np.random.default_rng(seed)
    buffers = []
    for i in range(int(rng.integers(3, 40))):
        last = i + int(rng.choice([1, 1, 1, 2, 5]))
        buffers.append(Buffer(f"b{i}", int(rng.integers(1, 60)) * 16, i, last))
    arena = place(buffers, 16)
    for a in buffers:
        for b in buffers:
            if a is not b and a.first <= b.last and b.first <= a.last:
                one, other = arena.offsets[a.name], arena.offsets[b.name]
                assert one + a.nbytes <= other or other + b.nbytes <= one
    assert arena.nbytes <= 1.1 * arena.lower_bound
    assert place(buffers, 16) == arena


def test_the_search_finds_what_greedy_placement_misses(monkeypatch):
    buffers = [
        Buffer("a", 10, 1, 2), Buffer("b", 50, 0, 0), Buffer("c", 60, 2, 2), Buffer("d", 40, 3, 5),
        Buffer("e", 20, 0, 1), Buffer("f", 30, 1, 1),
    ]  # fmt: skip
    arena = place(buffers, 1)
    assert arena.nbytes == arena.lower_bound == 70
    monkeypatch.setattr("intaglio.codegen.placement.BUDGET", 0)
    assert place(buffers, 1).nbytes == 80


def test_live_bytes_count_what_is_shared_once():
    buffers = [Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2), Buffer("c", 32, 2, 3)]
    assert live_bytes(buffers, [], 1) == [64, 128, 96, 32]
    assert live_bytes(buffers, [Share("a", "b", at=0)], 1) == [64, 64, 96, 32]
    assert live_bytes(buffers, [Share("b", "c", lead=8, trail=60)], 1) == [64, 128, 72, 32]


def test_groups_keep_their_distances():
    buffers = [Buffer("a", 10, 0, 3, "y", 0), Buffer("b", 6, 1, 3, "y", 10), Buffer("c", 8, 0, 1), Buffer("d", 8, 2, 3)]
    arena = place(buffers, 8)
    assert arena.offsets["b"] == arena.offsets["a"] + 10
    assert arena.nbytes == 24
