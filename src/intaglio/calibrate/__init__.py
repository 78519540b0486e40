"""Ranges from data: observers, streaming statistics, calibrators, and the parameters that follow from them."""

from intaglio.calibrate.automatic import Candidate
from intaglio.calibrate.calibrators import CALIBRATORS, Calibrator, parse_calibrator
from intaglio.calibrate.driver import Calibration, calibrate
from intaglio.calibrate.observer import Batches, observe
from intaglio.calibrate.params import choose
from intaglio.calibrate.statistics import Needs, Statistics

__all__ = [
    "CALIBRATORS",
    "Batches",
    "Calibration",
    "Calibrator",
    "Candidate",
    "Needs",
    "Statistics",
    "calibrate",
    "choose",
    "observe",
    "parse_calibrator",
]
