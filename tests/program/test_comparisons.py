"""The comparisons say how many differ, where first, got and want, and fail when they must."""

import numpy as np
import pytest
from intaglio_tests.bit_exact import assert_bit_exact, assert_within_steps, assert_within_ulp

A = np.arange(6, dtype=np.int8).reshape(2, 3)


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


def test_equal_arrays_pass() -> None:
    assert_bit_exact(A, A.copy())
    assert_bit_exact(A.T, A.T.copy())
    assert_bit_exact(np.asarray(3), np.asarray(3))
    assert_bit_exact(np.zeros(0), np.zeros(0))
    assert_within_steps(A, changed(A, (1, 1), 6), 2)
    assert_within_ulp(np.float32([1.0, -0.0]), np.float32([1.0, 0.0]), 0)


def test_bit_exact_fails_on_one_element() -> None:
    text = r"logits: 1 of 6 elements differ; first at \(1, 0\): got 9, want 3"
    with pytest.raises(AssertionError, match=text):
        assert_bit_exact(changed(A, (1, 0), 9), A, "logits")


def test_bit_exact_fails_on_dtype_shape_and_the_sign_of_zero() -> None:
    with pytest.raises(AssertionError, match="got int16, want int8"):
        assert_bit_exact(A.astype(np.int16), A)
    with pytest.raises(AssertionError, match=r"got shape \(3, 2\), want \(2, 3\)"):
        assert_bit_exact(A.reshape(3, 2), A)
    with pytest.raises(AssertionError, match=r"1 of 1 elements differ; first at \(0,\): got -0.0, want 0.0"):
        assert_bit_exact(np.array([-0.0]), np.array([0.0]))


def test_within_steps_fails_beyond_them() -> None:
    far = changed(changed(A, (0, 2), 5), (1, 1), -4)
    with pytest.raises(
        AssertionError, match=r"2 of 6 elements are more than 2 steps apart, up to 8; first at \(0, 2\): got 5, want 2"
    ):
        assert_within_steps(far, A, 2)
    # unsigned bytes wrap when they are subtracted as such
    with pytest.raises(AssertionError, match="up to 255"):
        assert_within_steps(np.array([0], np.uint8), np.array([255], np.uint8), 1)
    with pytest.raises(AssertionError, match="steps are counted between integers, got float64 and int8"):
        assert_within_steps(A.astype(float), A, 1)
    with pytest.raises(AssertionError, match="got shape"):
        assert_within_steps(A[:1], A, 100)


def test_within_ulp_fails_beyond_them() -> None:
    one = np.float32([1.0, -1.0])
    next_two = np.nextafter(np.nextafter(one, np.float32(9)), np.float32(9))
    assert_within_ulp(next_two, one, 2)
    with pytest.raises(AssertionError, match=r"2 of 2 elements are more than 1 ulp apart, up to 2; first at \(0,\)"):
        assert_within_ulp(next_two, one, 1)
    # across zero, and from one end to the other
    tiny = np.float32([1e-45])
    assert_within_ulp(tiny, -tiny, 2)
    with pytest.raises(AssertionError, match="up to 2"):
        assert_within_ulp(tiny, -tiny, 1)
    with pytest.raises(AssertionError, match="are more than 1000 ulp apart"):
        assert_within_ulp(np.array([1e308]), np.array([-1e308]), 1000)


def test_within_ulp_knows_nan() -> None:
    nan = np.array([np.nan, 1.0])
    assert_within_ulp(nan, nan.copy(), 0)
    with pytest.raises(AssertionError, match=r"1 of 2 .* first at \(0,\): got nan, want 1.0"):
        assert_within_ulp(nan, np.ones(2), 10**6)
    with pytest.raises(AssertionError, match="counted in float32 or float64"):
        assert_within_ulp(A, A, 1)
