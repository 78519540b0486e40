import numpy as np
import pytest

from intaglio.errors import UsageError
from intaglio.number import BIPOLAR, INT8, INT8_NARROW, INT32, UINT8, IntType


@pytest.mark.parametrize(
    ("type", "low", "high", "dtype", "name"),
    [
        (INT8, -128, 127, "int8", "int8"),
        (INT8_NARROW, -127, 127, "int8", "int8n"),
        (UINT8, 0, 255, "uint8", "uint8"),
        (IntType(4), -8, 7, "int8", "int4"),
        (IntType(2, narrow=True), -1, 1, "int8", "int2n"),
        (IntType(1, signed=False), 0, 1, "uint8", "uint1"),
        (IntType(1), -1, 0, "int8", "int1"),
        (BIPOLAR, -1, 1, "int8", "bipolar"),
        (IntType(9), -256, 255, "int16", "int9"),
        (IntType(16, signed=False), 0, 65535, "uint16", "uint16"),
        (INT32, -(1 << 31), (1 << 31) - 1, "int32", "int32"),
    ],
)
def test_range_storage_and_name(type: IntType, low: int, high: int, dtype: str, name: str) -> None:
    assert (type.qmin, type.qmax, type.dtype, type.name, str(type)) == (low, high, np.dtype(dtype), name, name)
    assert IntType.parse(name) == type


def test_every_type_fits_its_storage_and_has_a_name_of_its_own() -> None:
    types = [
        IntType(b, s, n) for b in range(1, 17) for s in (True, False) for n in (False, True) if not n or (s and b > 1)
    ]
    assert len({t.name for t in types}) == len(types)
    for t in types:
        info = np.iinfo(t.dtype)
        assert info.min <= t.qmin <= 0 <= t.qmax <= info.max
        assert t.qmax - t.qmin + 1 + t.narrow == 1 << t.bits


@pytest.mark.parametrize("bits", [0, -1, 17, 31, 33, 64])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(UsageError, match=rf"expected 1 to 16 bits \(or 32 for accumulators\), got {bits}"):
        IntType(bits)


def test_narrow_needs_sign_and_two_bits() -> None:
    with pytest.raises(UsageError, match="needs a signed type of at least 2 bits, got 8 bits, unsigned"):
        IntType(8, signed=False, narrow=True)
    with pytest.raises(UsageError, match="got 1 bits, signed"):
        IntType(1, narrow=True)


def test_bipolar_codes_are_two_signs_without_a_zero() -> None:
    assert BIPOLAR.holds(np.array([-1, 1, 1], np.int8)) and not BIPOLAR.holds(np.array([1, 0], np.int8))
    assert BIPOLAR.holds(np.array([], np.int8)) and BIPOLAR.max_abs_offset() == 1
    assert IntType(1) != BIPOLAR and IntType.parse("bipolar") == BIPOLAR
    for bits, signed in ((2, True), (1, False)):
        with pytest.raises(UsageError, match=rf"need a signed type of 1 bit, got {bits} bits"):
            IntType(bits, signed=signed, bipolar=True)


@pytest.mark.parametrize("name", ["", "int", "float32", "int8x", "INT8", "int8 ", "-int8", "int٨٨", "uint8n"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        IntType.parse(name)


def test_reach_is_the_largest_distance_from_the_zero_point() -> None:
    for type in (INT8, UINT8, IntType(3), INT8_NARROW):
        codes = np.arange(type.qmin, type.qmax + 1)
        for zero_point in codes:
            assert type.max_abs_offset(int(zero_point)) == np.abs(codes - zero_point).max()


def test_holds_and_of() -> None:
    assert IntType(4).holds(np.array([-8, 7])) and not IntType(4).holds(np.array([8]))
    assert not INT8_NARROW.holds(np.array([-128], np.int8)) and INT8.holds(np.array([], np.int8))
    assert [IntType.of(d).name for d in ("int8", "uint8", "int16", "uint16", "int32")] == [
        "int8", "uint8", "int16", "uint16", "int32",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="got float32"):
        IntType.of(np.float32)
    with pytest.raises(UsageError, match="got int64"):
        IntType.of(np.int64)
