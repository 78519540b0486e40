"""The comparison that the other tests rest on can fail."""

from __future__ import annotations

import numpy as np
import pytest
from intaglio_tests.onnx_net import assert_same


def test_assert_same_fails_on_a_difference_a_shape_and_nan() -> None:
    a = np.ones((2, 3), dtype=np.float32)
    assert_same([a], [a])
    with pytest.raises(AssertionError, match="differs by 1.0"):
        assert_same([a + np.float32(1.0)], [a])
    with pytest.raises(AssertionError, match="shape"):
        assert_same([a[:1]], [a])
    with pytest.raises(AssertionError, match="not finite"):
        assert_same([a], [a * np.float32("nan")])
