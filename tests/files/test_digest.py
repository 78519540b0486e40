"""Fingerprints of data: another one after any change that they look at, and an iterator is not used up."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.calibrate.no_data import NoData
from intaglio.data import match, open_data
from intaglio.files import Digest, arrays_fingerprint, data_fingerprint

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20)


def test_a_digest_counts_type_shape_and_elements() -> None:
    a = np.arange(6, dtype=np.int32)
    changed = [a, a.reshape(2, 3), a.astype(np.int64), a[::-1], a.view(np.uint32)]
    assert len({Digest().array(x).name() for x in changed}) == len(changed)
    assert Digest().array(a.reshape(2, 3).T).name() == Digest().array(np.array(a.reshape(2, 3).T)).name()
    assert len({arrays_fingerprint([{name: a}]) for name in "ab"}) == 2


def test_the_first_samples_their_labels_and_their_number_count() -> None:
    other_x, other_y = X.copy(), Y.copy()
    other_x[7, 2] = -1
    other_y[0] = 5
    found = [data_fingerprint(open_data(data)) for data in ((X, Y), (other_x, Y), (X, other_y), (X[:19], Y[:19]), X)]
    assert len(set(found)) == len(found)
    assert found[0] == data_fingerprint(open_data((X.copy(), Y.copy())))
    assert data_fingerprint(NoData()) == repr(NoData())


def test_an_iterator_is_looked_at_and_not_used_up() -> None:
    def iterated(x: np.ndarray):
        return match(open_data(iter([x[:5], x[5:]])), (1, 3))

    data = iterated(X)
    assert data_fingerprint(data) == data_fingerprint(iterated(X)) != data_fingerprint(iterated(X + 1))
    assert sum(len(x) for x, _ in data.batches(8)) == 20


def test_peek_is_the_first_batch_of_one() -> None:
    for given in ((X, Y), X, {"a": X, "b": X[:, :2]}):
        data = open_data(given)
        want = next(iter(data.batches(1)))
        got = data.peek()
        np.testing.assert_equal(got, want)


@pytest.mark.parametrize("empty", [[]])
def test_no_samples_have_a_fingerprint_too(empty: list[object]) -> None:
    class Nothing:
        def batches(self, n: int):
            return iter(empty)

    assert data_fingerprint(Nothing()).startswith("data, None samples, ")
