"""Laws of every integer operator, over the registry and each one's own samples."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact, single_operator_program

from intaglio.number import IntType, Requantize
from intaglio.program import OPERATORS, Operator, operators, recurrence
from intaglio.program.file import from_bytes, to_bytes

KINDS = sorted(OPERATORS)
MODULES = [importlib.import_module(f"{operators.__name__}.{m.name}") for m in pkgutil.iter_modules(operators.__path__)]


def samples(kind: str) -> Iterator[tuple[Operator, tuple[np.ndarray, ...]]]:
    found = list(OPERATORS[kind].samples(np.random.default_rng(zlib.crc32(kind.encode()))))
    assert len(found) >= 3, "too few samples to mean something"
    yield from found


def test_one_file_registers_one_operator_of_its_name() -> None:
    assert {m.__name__.rsplit(".", 1)[1] for m in MODULES} == set(OPERATORS)
    for kind, cls in OPERATORS.items():
        assert cls.__module__ == f"{operators.__name__}.{kind}"
        assert cls.__module__ and cls.__doc__


@pytest.mark.parametrize("kind", KINDS)
def test_samples_verify_and_keep_their_promises(kind: str) -> None:
    for operator, inputs in samples(kind):
        before = [x.copy() for x in inputs]
        program = single_operator_program(operator, inputs)
        program.verify()
        y = operator.integer(*inputs)
        info = program.tensors["y"]
        assert isinstance(y, np.ndarray)
        assert y.shape == info.shape == operator.shape(*(x.shape for x in inputs))
        assert y.dtype == info.type.dtype
        assert info.type.holds(y)
        if hasattr(operator, "low"):
            assert y.min() >= operator.low and y.max() <= operator.high
        for x, was in zip(inputs, before, strict=True):
            assert_bit_exact(x, was, "the input, which `integer` must not change")


@pytest.mark.parametrize("kind", KINDS)
def test_samples_survive_the_file(kind: str) -> None:
    for operator, inputs in samples(kind):
        program = single_operator_program(operator, inputs)
        again = from_bytes(to_bytes(program))
        assert to_bytes(again) == to_bytes(program)
        assert_bit_exact(again.run_int(*inputs), program.run_int(*inputs))
        for field in dataclasses.fields(operator):
            was, now = getattr(operator, field.name), getattr(again.nodes[0].operator, field.name)
            assert type(was) is type(now), field.name
            if isinstance(was, np.ndarray):
                assert_bit_exact(now, was, field.name)
            elif isinstance(was, Requantize):
                assert (was.rule, was.wide) == (now.rule, now.wide)
                assert_bit_exact(now.multiplier, was.multiplier)
                assert_bit_exact(now.shift, was.shift)
            else:
                assert was == now, field.name


@pytest.mark.parametrize("kind", KINDS)
def test_accumulators_stay_below_their_bound(kind: str) -> None:
    """The proof is from parameters and types; here it meets the accumulators that samples make."""
    met = False
    for operator, inputs in samples(kind):
        types = tuple(getattr(operator, "in_type", IntType.of(x.dtype)) for x in inputs)
        bound = operator.accumulator_bound(tuple(x.shape for x in inputs), types)
        accumulate = getattr(operator, "accumulate", None)
        if accumulate is not None:
            met = True
            assert np.abs(accumulate(*inputs).astype(np.int64)).max() <= bound
        if operator.macs(*(x.shape for x in inputs)):
            assert bound > 0
    assert met == hasattr(OPERATORS[kind], "accumulate")


class NoFloat(np.ndarray):
    """Integers that refuse to become float, and stay that way through every NumPy function."""

    @staticmethod
    def _refuse(result: Any, what: Any) -> Any:
        if isinstance(result, tuple | list):
            return type(result)(NoFloat._refuse(r, what) for r in result)
        if isinstance(result, np.ndarray | np.generic):
            if result.dtype.kind not in "iub":
                raise AssertionError(f"{what} made {result.dtype} of integers")
            return np.asarray(result).view(NoFloat)
        return result

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [np.asarray(i) if isinstance(i, NoFloat) else i for i in inputs]
        if any(isinstance(i, float | np.floating) for i in plain):
            raise AssertionError(f"{ufunc.__name__} was given a float")
        out = kwargs.get("out")
        if out is not None:
            kwargs["out"] = tuple(np.asarray(o) if isinstance(o, NoFloat) else o for o in out)
        return self._refuse(getattr(ufunc, method)(*plain, **kwargs), ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return self._refuse(super().__array_function__(function, (NoFloat,), args, kwargs), function.__name__)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        return self._refuse(np.asarray(self).astype(dtype, *args, **kwargs), "astype")

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("mean makes a float")

    def __float__(self) -> float:
        raise AssertionError("float() of an integer array")


def no_float(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.view(NoFloat)
    if isinstance(value, Requantize):
        return dataclasses.replace(value, multiplier=no_float(value.multiplier), shift=no_float(value.shift))
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_integer_runs_on_arrays_that_refuse_to_become_float(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def integer_loops(a: Any, b: Any, a_bound: int | None = None) -> Any:  # BLAS is the one exception
        return np.matmul(a.astype(np.int64), b.astype(np.int64))

    for module in (*MODULES, recurrence):
        if hasattr(module, "exact_matmul"):
            monkeypatch.setattr(module, "exact_matmul", integer_loops)
    for operator, inputs in samples(kind):
        fields = {f.name: no_float(getattr(operator, f.name)) for f in dataclasses.fields(operator)}
        refusing = type(operator)(**fields)
        got = refusing.integer(*(x.view(NoFloat) for x in inputs))
        assert_bit_exact(np.asarray(got), operator.integer(*inputs))


@pytest.mark.parametrize(
    "slip",
    [
        lambda x: x / 2,
        lambda x: x * 0.5,
        lambda x: np.sqrt(x),
        lambda x: x.astype(np.float32),
        lambda x: x.mean(),
        lambda x: np.mean(x, axis=0),
        lambda x: np.interp(x.reshape(-1), [0, 1], [0, 1]),
        lambda x: np.round(np.where(x > 0, x, 0) * np.float64(1.5)),
        lambda x: np.stack([x, x]).sum(axis=0) / 3,
        lambda x: float(x[:1, :1].reshape(())),
    ],
)
def test_arrays_that_refuse_do_refuse(slip: Any) -> None:
    with pytest.raises((AssertionError, TypeError)):
        slip(np.ones((2, 3), np.int8).view(NoFloat))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_batch_do_not_touch_each_other(kind: str) -> None:
    """Operators that keep axis 0 give for each sample what they give for the batch."""
    for operator, inputs in samples(kind):
        if (
            kind in ("transpose", "reshape", "expand")
            or operator.mixes_samples()
            or any(x.ndim < 2 or x.shape[0] != inputs[0].shape[0] for x in inputs)
        ):
            continue
        whole = operator.integer(*inputs)
        single = [operator.integer(*(x[i : i + 1] for x in inputs)) for i in range(inputs[0].shape[0])]
        assert_bit_exact(np.concatenate(single), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_results_lie_in_the_range_that_follows_from_the_inputs(kind: str) -> None:
    for operator, drawn in samples(kind):
        for inputs in (drawn, tuple(np.full_like(x, x.max()) for x in drawn)):
            given = tuple((int(x.min()), int(x.max())) for x in inputs)
            found = operator.result_range(tuple(x.shape for x in inputs), given)
            if found is not None:
                y = operator.integer(*inputs)
                assert found[0] <= y.min() <= y.max() <= found[1], operator


@pytest.mark.parametrize("kind", KINDS)
def test_strided_and_read_only_inputs_make_no_difference(kind: str) -> None:
    for operator, inputs in samples(kind):
        views = []
        for x in inputs:
            strided = np.repeat(x[..., None], 2, axis=-1)[..., 0]
            strided.flags.writeable = False
            views.append(strided)
        assert_bit_exact(operator.integer(*views), operator.integer(*inputs))


def test_work_is_counted() -> None:
    from intaglio.program.operators.conv2d import Conv2d

    operator, (x,) = next(iter(Conv2d.samples(np.random.default_rng(0))))
    n, h, w, o = operator.shape(x.shape)
    assert operator.macs(x.shape) == n * h * w * o * 3 * 3 * 3
