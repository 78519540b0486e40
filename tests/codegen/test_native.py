from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact
from intaglio_tests.programs import make_single_sample_program, make_small_program

import intaglio as ig
from intaglio.codegen import cache, machine, native
from intaglio.codegen.fast_input import FastInput, fast_quantize
from intaglio.codegen.profile import program_macs
from intaglio.errors import CompileError, DataError
from intaglio.number import INT8, INT16, UINT8, IntType, QuantParams, Rule
from intaglio.program import Node, Program, TensorInfo
from intaglio.program.operators.dense import Dense
from intaglio.program.operators.reduce_sum import ReduceSum
from intaglio.program.sampling import codes, grid

TESTS = Path(__file__).parents[1]
HOST = machine.host()


@pytest.fixture
def small_program():
    return make_small_program()


@pytest.fixture
def single_sample_program():
    return make_single_sample_program()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module", params=[1, 2, 3])
def compiled(request: pytest.FixtureRequest, folder: Path) -> native.NativeProgram:
    return ig.compile(make_small_program(), directory=folder, threads=request.param)


def reals(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(0, 1, (n, 3, 6, 5)).astype(np.float32), rng.normal(0, 1, (n, 4)).astype(np.float32)


def assert_same(got, want) -> None:
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_bit_exact(a, b, f"output {i}")


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_any_batch_on_any_threads_is_bit_exact(compiled, rng, n) -> None:
    x = compiled.program.quantize_inputs(*reals(rng, n))
    for _ in range(3):  # arenas are used again
        assert_same(compiled.run_int(*x), compiled.program.run_int(*x))


def test_real_inputs_and_outputs_equal_the_interpreter(compiled, rng) -> None:
    x = reals(rng, 5)
    assert_same(compiled.run(*x), compiled.program.run(*x))
    by_name = dict(zip(reversed(compiled.program.inputs), reversed(x), strict=True))
    assert_same(compiled.run(by_name), compiled.program.run(*x))


@pytest.mark.parametrize("n", [1, 3])
def test_a_program_that_is_not_batched_runs_sample_by_sample(single_sample_program, folder, rng, n) -> None:
    compiled = ig.compile(single_sample_program, directory=folder, threads=2)
    x = single_sample_program.quantize_inputs(*reals(rng, n))
    assert_same(compiled.run_int(*x), single_sample_program.run_int(*x))


def program_of(operator, shape: tuple[int, ...], *, batched: bool, seed: int = 0) -> Program:
    tensors = {"x": TensorInfo("x", shape, INT8), "y": TensorInfo("y", operator.shape(shape), operator.out_type(INT8))}
    return Program(
        [Node("node", operator, ("x",), "y")], tensors, {}, ("x",), ("y",), Rule.HALF_UP, "test", batched=batched
    )


def dense(seed: int, depth: int = 20, outputs: int = 6) -> Dense:
    rng = np.random.default_rng(seed)
    weight = codes(rng, INT8, (outputs, depth))
    return Dense.from_real(grid(INT8, 0.1), grid(INT8, 0.05), grid(INT8, 0.7), weight, None, Rule.HALF_UP)


@pytest.mark.parametrize("shape", [(1, 20), (3, 20), (20,)])
def test_inputs_and_outputs_without_a_batch_axis(folder, rng, shape) -> None:
    program = program_of(dense(0), shape, batched=False)
    compiled = ig.compile(program, directory=folder, threads=2)
    x = codes(rng, INT8, shape)
    assert_bit_exact(compiled.run_int(x), program.run_int(x))
    if shape[0] == 1:
        several = codes(rng, INT8, (4, *shape[1:]))
        assert_bit_exact(compiled.run_int(several), program.run_int(several))


def test_an_output_without_a_batch_axis_gets_one_for_several_samples(folder, rng) -> None:
    px, py = grid(INT8, 0.1), grid(INT8, 0.2)
    operator = ReduceSum.from_real(px, py, axes=(0,), keepdims=False, rule=Rule.HALF_UP)
    program = program_of(operator, (1, 5), batched=False)
    compiled = ig.compile(program, directory=folder, threads=1)
    for n in (1, 3):
        x = codes(rng, INT8, (n, 5))
        assert_bit_exact(compiled.run_int(x), program.run_int(x))


BAD_REALS = [
    lambda x, y: (x,),
    lambda x, y: (x, y, y),
    lambda x, y: (x[:, :, :5], y),
    lambda x, y: (x[0], y),
    lambda x, y: (x.transpose(0, 2, 3, 1), y),
    lambda x, y: (x, y[:1]),
    lambda x, y: (x[:0], y[:0]),
    lambda x, y: (x * np.nan, y),
    lambda x, y: (x.astype(complex), y),
    lambda x, y: ({"image": x, "other": y},),
]


@pytest.mark.parametrize("spoil", BAD_REALS)
def test_real_inputs_are_refused_as_by_the_interpreter(compiled, rng, spoil) -> None:
    refused_alike(compiled.run, compiled.program.run, spoil(*reals(rng, 2)))


@pytest.mark.parametrize("spoil", [*BAD_REALS[:7], lambda x, y: (x.astype(np.float32), y), lambda x, y: (x - 200, y)])
def test_integer_inputs_are_refused_as_by_the_interpreter(compiled, rng, spoil) -> None:
    x, y = compiled.program.quantize_inputs(*reals(rng, 2))
    refused_alike(compiled.run_int, compiled.program.run_int, spoil(x.astype(np.int32), y))


def refused_alike(run, reference, inputs) -> None:
    with pytest.raises(DataError) as want:
        reference(*inputs)
    with pytest.raises(DataError) as got:
        run(*inputs)
    assert str(got.value) == str(want.value)


def test_inputs_in_any_memory_order_and_integer_type(compiled, rng) -> None:
    x, y = compiled.program.quantize_inputs(*reals(rng, 3))
    want = compiled.program.run_int(x, y)
    assert_same(compiled.run_int(np.asfortranarray(x), y.repeat(2, axis=1)[:, ::2]), want)
    assert_same(compiled.run_int(x.astype(np.int64), y.astype(">i2")), want)
    x.setflags(write=False)
    assert_same(compiled.run_int(x, y), want)


def test_outputs_of_two_calls_do_not_share_memory(compiled, rng) -> None:
    x, y = (compiled.program.quantize_inputs(*reals(rng, 2)) for _ in range(2))
    first = compiled.run_int(*x)
    kept = [v.copy() for v in first]
    compiled.run_int(*y)
    assert_same(first, kept)


def test_a_prepared_run_reads_its_inputs_again(compiled, rng) -> None:
    x, y = (compiled.program.quantize_inputs(*reals(rng, 2)) for _ in range(2))
    prepared = compiled.prepare(*[v.copy() for v in x])
    prepared.run()
    assert_same(prepared.outputs, compiled.program.run_int(*x))
    for place, values in zip(prepared.inputs, y, strict=True):
        place[...] = values
    prepared.run()
    assert_same(prepared.outputs, compiled.program.run_int(*y))


def test_a_prepared_run_outlives_the_program_that_made_it(folder, rng) -> None:
    program = make_small_program()
    x = program.quantize_inputs(*reals(rng, 2))
    prepared = ig.compile(program, directory=folder, threads=2).prepare(*x)
    gc.collect()
    prepared.run()
    assert_same(prepared.outputs, program.run_int(*x))


TIES = np.concatenate([np.arange(-600, 600, dtype=np.float32) / 2, np.float32([1e-30, -1e30, 3e38, -3e38, 1e7, -0.0])])


@pytest.mark.parametrize("type", [INT8, UINT8, INT16, IntType(16, signed=False)])
@pytest.mark.parametrize("scale", [1.0, 0.02, 1e-7, 37.5, 2e-38])
def test_reals_are_quantized_as_numpy_does(compiled, rng, type, scale) -> None:
    params = QuantParams(type, np.float32(scale), np.int32(rng.integers(type.qmin, type.qmax + 1)))
    quick = [FastInput.of(TensorInfo("x", (1, len(TIES)), type, params))]
    with np.errstate(over="ignore"):
        ties = TIES * np.float32(scale)
    for x in (ties, rng.normal(0, 300 * scale, len(TIES)).astype(np.float32)):
        x = np.where(np.isfinite(x), x, 0)[None]
        got = fast_quantize(compiled._library, quick, (x,))
        assert got is not None
        assert_bit_exact(got[0], params.quantize(x))
        for bad in (np.nan, np.inf, -np.inf):
            x[0, -1] = bad
            assert fast_quantize(compiled._library, quick, (x,)) is None


def test_calls_from_several_threads_do_not_disturb_each_other(compiled, rng) -> None:
    cases = [compiled.program.quantize_inputs(*reals(rng, n)) for n in (1, 2, 3, 5, 1, 8)]
    wants = [compiled.program.run_int(*x) for x in cases]
    wrong: list[str] = []

    def work(x, want) -> None:
        try:
            for _ in range(100):
                assert_same(compiled.run_int(*x), want)
        except BaseException as error:
            wrong.append(str(error))

    threads = [threading.Thread(target=work, args=case) for case in zip(cases, wants, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def test_other_python_threads_run_while_c_runs(folder) -> None:
    program = program_of(dense(1, 2000, 500), (1, 2000), batched=True)
    compiled = ig.compile(program, "portable", folder, threads=1)
    x = np.ones((300, 2000), np.int8)
    compiled.run_int(x[:1])
    thread = threading.Thread(target=compiled.run_int, args=(x,))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
    thread.join()
    assert turns > 100, turns


def test_another_program_in_the_same_folder_is_not_reused(folder, rng) -> None:
    programs = [program_of(dense(seed), (1, 20), batched=True) for seed in (1, 2)]
    x = codes(rng, INT8, (4, 20))
    compiled = [ig.compile(program, directory=folder, threads=1) for program in programs]
    for one, program in zip(compiled, programs, strict=True):
        assert_bit_exact(one.run_int(x), program.run_int(x))
    assert not np.array_equal(compiled[0].run_int(x), compiled[1].run_int(x))


def test_the_same_build_is_used_again(tmp_path, monkeypatch, rng) -> None:
    program = program_of(dense(3), (1, 20), batched=True)
    first = ig.compile(program, directory=tmp_path, threads=1)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(cache, "compile_library", never)
    again = ig.compile(program, directory=tmp_path, threads=1)
    assert again.library == first.library
    assert [path.name for path in tmp_path.iterdir()] == [first.library.parent.name]
    with pytest.raises(AssertionError, match="compiled again"):
        ig.compile(program_of(dense(4), (1, 20), batched=True), directory=tmp_path, threads=1)
    monkeypatch.setattr(cache, "OPTIMIZE", ("-O1",))
    with pytest.raises(AssertionError, match="compiled again"):
        ig.compile(program, directory=tmp_path, threads=1)
    assert [path.name for path in tmp_path.iterdir()] == [first.library.parent.name], "a failed build left files"


def test_build_files_are_removed_without_a_folder(tmp_path, monkeypatch, rng) -> None:
    monkeypatch.chdir(tmp_path)
    program = program_of(dense(5), (1, 20), batched=True)
    compiled = ig.compile(program, directory=None, threads=1)
    assert not compiled.library.exists() and not list(tmp_path.iterdir())
    x = codes(rng, INT8, (2, 20))
    assert_bit_exact(compiled.run_int(x), program.run_int(x))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("z80", "machine: expected one of host, "),
        ("aarch64" if HOST.family != "aarch64" else "avx2", "this processor lacks"),
        ("cortex-m4", "this processor lacks"),
    ],
)
def test_a_machine_that_is_not_this_one_is_refused(name, says, tmp_path) -> None:
    with pytest.raises(CompileError, match=says):
        ig.compile(program_of(dense(0), (1, 20), batched=True), name, tmp_path)
    assert not list(tmp_path.iterdir())


def lacked() -> str:
    for name in ("avxvnni", "avx512vnni", "avx512", "avx2"):
        if HOST.family == "x86" and machine.missing(machine.MACHINES[name]):
            return name
    pytest.skip("this processor has every instruction set of its family")


def test_code_for_another_processor_is_refused_at_run_time(monkeypatch, tmp_path, rng) -> None:
    program = program_of(dense(0), (1, 20), batched=True)
    name = lacked()
    with pytest.raises(CompileError, match=f"machine {name}: this processor lacks .*; use machine 'host'"):
        ig.compile(program, name, tmp_path, threads=1)
    monkeypatch.setattr(native, "missing", lambda _: ())  # as if the folder came from another computer
    compiled = ig.compile(program, name, tmp_path, threads=1)
    with pytest.raises(CompileError, match="this processor lacks an instruction set of machine"):
        compiled.run_int(codes(rng, INT8, (2, 20)))


@pytest.mark.parametrize(
    ("cc", "says"),
    [("no-such-compiler", "no-such-compiler"), ("false", "exit status 1"), ("true", "wrote no library")],
)
def test_a_missing_or_failing_compiler_is_an_error(cc, says, tmp_path) -> None:
    with pytest.raises(CompileError, match=says):
        ig.compile(program_of(dense(0), (1, 20), batched=True), directory=tmp_path, cc=cc)
    assert not list(tmp_path.iterdir()), "a failed build left files"


def test_an_unwritable_folder_is_an_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompileError, match="expected a folder that can be written"):
        ig.compile(program_of(dense(0), (1, 20), batched=True), directory=tmp_path / "file")


def test_fewer_than_one_thread_is_refused(tmp_path) -> None:
    with pytest.raises(CompileError, match="threads: expected at least 1, got 0"):
        ig.compile(program_of(dense(0), (1, 20), batched=True), directory=tmp_path, threads=0)


def test_a_native_program_cannot_be_pickled(compiled) -> None:
    with pytest.raises(CompileError, match="cannot be pickled"):
        pickle.dumps(compiled)


def test_profile_has_every_step_and_its_work(compiled, rng) -> None:
    x = compiled.program.quantize_inputs(*reals(rng, 1))
    steps = compiled.profile(*x, repeats=5, peak=1e9)
    assert len(steps) == len(compiled.model.steps)
    assert sum(step.macs for step in steps) == program_macs(compiled.program) == 6 * 5 * 4 * 27 + 4 * 10
    assert all(step.nanoseconds >= 0 for step in steps)
    assert sum(step.share for step in steps) == pytest.approx(1)
    for step in steps:
        assert (step.of_peak is None) == (step.macs == 0)
        if step.of_peak is not None and step.nanoseconds:
            assert step.of_peak == pytest.approx(step.macs / step.nanoseconds)


def test_a_forked_process_runs_alone(tmp_path) -> None:
    script = textwrap.dedent(
        f"""
        import os, sys, warnings
        import numpy as np
        import intaglio as ig
        warnings.simplefilter("ignore")  # newer Pythons warn of forks beside threads, which is what is tried here
        sys.path.insert(0, {str(TESTS / "support")!r})
        from intaglio_tests.programs import make_small_program
        compiled = ig.compile(make_small_program(), directory={str(tmp_path)!r}, threads=2)
        rng = np.random.default_rng(0)
        x = compiled.program.quantize_inputs(rng.normal(size=(3, 3, 6, 5)), rng.normal(size=(3, 4)))
        want = compiled.run_int(*x)
        child = os.fork()
        same = all(np.array_equal(a, b) for a, b in zip(compiled.run_int(*x), want))
        if child == 0:
            del compiled
            sys.exit(0 if same else 3)
        assert same
        assert os.waitpid(child, 0)[1] == 0
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["thread", "address,undefined"])
def stress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The library around a made-up model, with a sanitizer."""
    out = tmp_path_factory.mktemp("stress") / "stress"
    here = Path(__file__).parent / "library_stress"
    command = ["gcc", "-std=c11", "-g", "-O1", f"-fsanitize={request.param}", "-fno-sanitize-recover=all"]
    command += ["-Wall", "-Wextra", "-Werror", "-DMODEL=model", "-DIG_DELAY=delay", f"-I{here}", str(here / "main.c")]
    command += [str(cache.RUNTIME / "library.c"), "-pthread", "-o", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs gcc")
    if done.returncode and "cannot find" in done.stderr:
        pytest.skip(f"needs gcc's {request.param} sanitizer")
    assert done.returncode == 0, done.stderr
    yield out


def test_the_pool_has_no_race_no_leak_and_loses_no_wake_up(stress) -> None:
    done = subprocess.run([stress], capture_output=True, text=True, timeout=120, check=False)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("this kernel's address layout is not one that the sanitizer knows")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.endswith("all equal\n")
