"""The demonstration network is worth quantizing, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intaglio.zoo.digit_images import digits_data
from intaglio.zoo.digits import train_digits


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


def test_training_reaches_97_percent_and_repeats() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, accuracy = train_digits(epochs=8)
    second, again = train_digits(epochs=8)
    assert accuracy >= 97
    assert again == accuracy
    assert not first.training
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers are left alone


def test_the_stored_images_are_those_of_scikit_learn() -> None:
    found = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn (extra `dev`)").load_digits()
    data = digits_data()
    stored = np.concatenate([x for x, _ in (data.train, data.calib, data.test)])[:, 0] * 16
    labels = np.concatenate([y for _, y in (data.train, data.calib, data.test)])
    order, theirs = np.lexsort(stored.reshape(1797, 64).T), np.lexsort(found.data.T)
    assert np.array_equal(stored[order], found.images[theirs])
    assert np.array_equal(labels[order], found.target[theirs])
