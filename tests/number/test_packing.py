import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, INT8, INT32, IntType
from intaglio.number.packing import pack, packed_size, unpack

TYPES = [IntType(b, s, n) for b in range(1, 17) for s in (True, False) for n in (False, True) if not n or (s and b > 1)]


@pytest.mark.parametrize("type", TYPES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 64, 101])
def test_what_is_packed_comes_out(type: IntType, count: int, rng: np.random.Generator) -> None:
    codes = rng.integers(type.qmin, type.qmax + 1, count).astype(type.dtype)
    codes[:2] = [type.qmin, type.qmax][:count]
    stream = pack(codes, type)
    assert stream.dtype == np.uint8 and stream.size == packed_size(count, type.bits) == (count * type.bits + 7) // 8
    back = unpack(stream, type, (count,))
    assert back.dtype == type.dtype and np.array_equal(back, codes)


@given(st.sampled_from(TYPES), st.lists(st.integers(1, 4), max_size=3), st.integers(0, 2**32))
def test_shapes_are_kept(type: IntType, shape: list[int], seed: int) -> None:
    codes = np.random.default_rng(seed).integers(type.qmin, type.qmax + 1, shape).astype(type.dtype)
    back = unpack(pack(codes, type), type, tuple(shape))
    assert back.shape == tuple(shape) and np.array_equal(back, codes)


def test_the_lowest_bits_come_first() -> None:
    assert pack(np.array([1, -2, 7], np.int8), IntType(4)).tolist() == [0xE1, 0x07]
    assert pack(np.array([1, 0, 0, 1, 1], np.uint8), IntType(1, signed=False)).tolist() == [0b11001]
    assert pack(np.array([0x0ABC], np.int16), IntType(16)).tolist() == [0xBC, 0x0A]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 101])
def test_signs_are_one_bit_each(count: int, rng: np.random.Generator) -> None:
    codes = rng.choice([-1, 1], count).astype(np.int8)
    stream = pack(codes, BIPOLAR)
    assert stream.size == (count + 7) // 8
    back = unpack(stream, BIPOLAR, (count,))
    assert back.dtype == np.int8 and np.array_equal(back, codes)


def test_the_bit_of_minus_one_is_zero() -> None:
    assert pack(np.array([1, -1, -1, 1, 1], np.int8), BIPOLAR).tolist() == [0b11001]
    with pytest.raises(UsageError, match="expected codes of bipolar, got 0 to 1"):
        pack(np.array([1, 0], np.int8), BIPOLAR)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="expected codes of int4, got -9 to 3"):
        pack(np.array([3, -9]), IntType(4))
    with pytest.raises(UsageError, match="expected a type of at most 16 bits, got int32"):
        pack(np.array([3]), INT32)
    with pytest.raises(UsageError, match=r"shape \(3,\) of int4 needs 2 bytes, got 1"):
        unpack(np.zeros(1, np.uint8), IntType(4), (3,))
    with pytest.raises(UsageError, match="outside int4n"):
        unpack(np.array([8], np.uint8), IntType(4, narrow=True), (1,))


def test_a_shape_that_lies_allocates_nothing() -> None:
    with pytest.raises(UsageError, match="needs"):
        unpack(np.zeros(8, np.uint8), INT8, (1 << 40, 1 << 40))
