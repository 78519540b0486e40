"""Ranges from data: observers, streaming statistics, calibrators, and the parameters that follow from them."""

from intaglio.calibrate.driver import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
