"""The handwritten digits."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.zoo.digit_images import digits_data


def test_the_parts_are_disjoint_and_complete() -> None:
    data = digits_data()
    parts = (data.train, data.calib, data.test)
    assert [len(y) for _, y in parts] == [1309, 128, 360]
    images = np.concatenate([x for x, _ in parts])
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797
    assert all(set(np.unique(y)) == set(range(10)) for _, y in parts)


def test_the_stored_images_are_those_of_scikit_learn() -> None:
    found = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn (extra `dev`)").load_digits()
    data = digits_data()
    stored = np.concatenate([x for x, _ in (data.train, data.calib, data.test)])[:, 0] * 16
    labels = np.concatenate([y for _, y in (data.train, data.calib, data.test)])
    order, theirs = np.lexsort(stored.reshape(1797, 64).T), np.lexsort(found.data.T)
    assert np.array_equal(stored[order], found.images[theirs])
    assert np.array_equal(labels[order], found.target[theirs])
