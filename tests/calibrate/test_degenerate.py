"""Data that leave a calibrator little to choose: each gives a defined grid, or an error that names the value."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from intaglio.calibrate import CALIBRATORS, Needs
from intaglio.calibrate.parameters.choose_params import _activation_params, _constant_params
from intaglio.calibrate.statistics.record import Record
from intaglio.errors import CalibrationError
from intaglio.number import BIPOLAR, INT8, INT8_NARROW, INT16, UINT8, IntType, PerChannel, QuantParams, Scheme
from intaglio.plan import Format

LARGEST, SMALLEST = float(np.finfo(np.float32).max), 2.0**-149
DATA = {
    "zeros": np.zeros((4, 6)),
    "negative zeros": np.full((4, 6), -0.0),
    "a constant": np.full((4, 6), 2.5),
    "a negative constant": np.full((4, 6), -2.5),
    "one element": np.array([[0.7]]),
    "one element of many": np.eye(1, 24).reshape(4, 6),
    "the largest": np.full((4, 6), LARGEST),
    "both ends": np.tile([LARGEST, -LARGEST], 12).reshape(4, 6),
    "both ends once": np.array([[LARGEST, 0, 0, 1, -1, -LARGEST]] * 4),
    "the smallest": np.tile([SMALLEST, -SMALLEST], 12).reshape(4, 6),
    "a subnormal constant": np.full((4, 6), 1e-40),
    "far apart": np.array([[SMALLEST, 1e-20, 1.0, 1e20, LARGEST, 0]] * 4),
    "two neighbours": np.tile([1.0, np.nextafter(np.float32(1), np.float32(2))], 12).reshape(4, 6),
    "an outlier": np.array([[1e-3] * 5 + [1e30]] * 4),
    "a channel of zeros": np.concatenate([np.zeros((1, 6)), np.linspace(-1, 1, 18).reshape(3, 6)]),
}
TYPES = (INT8, INT8_NARROW, UINT8, INT16, IntType(4), IntType(2), IntType(2, narrow=True), BIPOLAR)
FORMATS = [Format(t, s) for t in TYPES for s in Scheme if not (t.bipolar and s is Scheme.ASYMMETRIC)]


def assert_a_defined_grid(params: QuantParams, x: np.ndarray, fmt: Format) -> None:
    """What it rounds to is finite and has the sign that it had, and 0 stays 0."""
    got = params.fake_quantize(x)
    assert np.isfinite(got).all()
    if not fmt.type.bipolar:
        assert (got[x == 0] == 0).all()
        assert (got * np.sign(x) >= 0).all()


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CALIBRATORS)
def test_activations(name: str, data: str) -> None:
    x = np.asarray(DATA[data], np.float32)
    record = Record.empty(Needs.HISTOGRAM | Needs.MOVING)
    for index, sample in enumerate(x):
        record.add(torch.from_numpy(sample[None].copy()), index, 1)
    for fmt in FORMATS:
        try:
            params = _activation_params("the value", record, CALIBRATORS[name], fmt)
        except CalibrationError as error:
            assert "value 'the value': " in str(error)
            assert not representable(x), error
            continue
        assert_a_defined_grid(params, x, fmt)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CALIBRATORS)
def test_constants(name: str, data: str) -> None:
    x = np.asarray(DATA[data], np.float32)
    for fmt in (
        *FORMATS,
        Format(INT8, Scheme.SYMMETRIC, PerChannel(0)),
        Format(UINT8, Scheme.ASYMMETRIC, PerChannel(0)),
    ):
        try:
            params = _constant_params("the constant", x, CALIBRATORS[name], fmt)
        except CalibrationError as error:
            assert "constant 'the constant': " in str(error)
            assert not representable(x), error
            continue
        assert_a_defined_grid(params, x, fmt)


def representable(x: np.ndarray) -> bool:
    """Whether every scale is a float32, even one rounded up to a power of two, and all that it stands for."""
    return float(np.abs(x).max()) < LARGEST / 4
