"""Calibrators: turn the statistics of an activation, or the elements of a weight, into a range."""

from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.calibrators.calibrator_registry import CALIBRATORS, parse_calibrator

__all__ = ["CALIBRATORS", "Calibrator", "parse_calibrator"]
