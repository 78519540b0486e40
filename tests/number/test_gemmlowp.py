import numpy as np

from intaglio.number.gemmlowp import exp_on_negative_values, one_over_one_plus_x


def test_exp_is_within_its_series_and_exact_at_zero() -> None:
    a = -np.unique(np.concatenate([np.arange(2000), np.geomspace(1, 2.0**31, 20000)]).astype(np.int64))
    got = exp_on_negative_values(a)
    want = np.minimum(np.exp(a / 2.0**26) * 2.0**31, 2.0**31 - 1)
    # The series stops at x**4 / 24 with |x| <= 1/8: x**5 / 120 = 2.5e-7; seven more roundings.
    assert np.abs(got - want).max() < 2.6e-7 * 2.0**31 + 8
    assert got[a == 0] == 2**31 - 1
    assert (np.diff(got[np.argsort(a)]) >= -8).all()


def test_one_over_one_plus_x_converges() -> None:
    a = np.unique(np.linspace(0, 2.0**31 - 1, 20001).astype(np.int64))
    got = one_over_one_plus_x(a)
    want = np.minimum(2.0**31 / (1 + a / 2.0**31), 2.0**31 - 1)
    # Q2.29 inside: its last bit is four of the result's, and each of three steps rounds three times.
    assert np.abs(got - want).max() < 36
