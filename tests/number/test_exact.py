import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.number import exact, exact_matmul
from intaglio.number.blas import blas_threads, one_blas_thread


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.matmul(a.astype(object), b.astype(object)).astype(np.int64)


@given(
    st.integers(1, 40), st.sampled_from([1, 2, 7, 300]), st.integers(0, 2**32), st.integers(0, 25), st.integers(0, 25)
)
def test_products_are_exact_at_every_width(m: int, k: int, seed: int, a_bits: int, b_bits: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(-(1 << a_bits), (1 << a_bits) + 1, (m, k))
    b = rng.integers(-(1 << b_bits), (1 << b_bits) + 1, (k, 3))
    assert np.array_equal(exact_matmul(a, b), product(a, b))


@pytest.mark.parametrize(
    ("value", "k", "dtype"),
    [
        (127, 1040, np.int32),  # float32: 127 * 127 * 1040 < 2**24
        (127, 1041, np.int32),  # float64
        (32767, 2, np.int32),  # 2**31 is just not reached
        (32767, 3, np.int64),
        ((1 << 26) - 1, 2, np.int64),
        ((1 << 26) + 1, 3, np.int64),  # beyond 2**53: integer loops
    ],
)
def test_sums_at_the_edge_of_each_float_are_exact(value: int, k: int, dtype: type) -> None:
    for sign in (1, -1):
        a, b = np.full((3, k), value, np.int64), np.full((k, 2), sign * value, np.int64)
        a[0, 0] -= 1  # an odd sum, which a float that is too small would round
        got = exact_matmul(a, b)
        assert got.dtype == dtype
        assert np.array_equal(got, product(a, b))


def test_stacks_broadcast() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (2, 1, 3, 4)), rng.integers(-9, 9, (5, 4, 2))
    assert np.array_equal(exact_matmul(a, b), a @ b)
    rows = rng.integers(-128, 128, (2, 3, 7, 4)).astype(np.int8)
    assert np.array_equal(exact_matmul(rows, b[0]), product(rows, b[0]))


def test_a_given_bound_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_magnitude", lambda x: 1 << 40)
    a, b = np.ones((2, 3), np.int8), np.ones((3, 2), np.int8)
    assert exact_matmul(a, b).dtype == np.int64
    monkeypatch.undo()
    assert exact_matmul(a, b, 1).dtype == np.int32
    assert exact_matmul(a, b, 1 << 40).dtype == np.int64


def test_more_rows_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_CHUNK", 10)
    a = np.arange(77 * 4).reshape(77, 4)
    b = np.arange(8).reshape(4, 2)
    assert np.array_equal(exact_matmul(a, b), a @ b)


def test_empty_operands() -> None:
    assert exact_matmul(np.zeros((0, 4), np.int8), np.ones((4, 2), np.int8)).shape == (0, 2)
    assert exact_matmul(np.zeros((2, 0), np.int8), np.ones((0, 3), np.int8)).tolist() == [[0] * 3] * 2


def test_blas_threads_are_restored() -> None:
    before = blas_threads()
    with one_blas_thread():
        assert blas_threads() == 1
    assert blas_threads() == before
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_threads() == before
