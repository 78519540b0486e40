"""Ranges from data: observers, streaming statistics, calibrators, and the parameters that follow from them."""

from intaglio.calibrate.calibrators import CALIBRATORS, Calibrator, parse_calibrator
from intaglio.calibrate.driver import Calibration, calibrate
from intaglio.calibrate.observer import observe
from intaglio.calibrate.params import choose
from intaglio.calibrate.record import Needs
from intaglio.calibrate.statistics import Statistics
from intaglio.calibrate.trial import Candidate
from intaglio.simulate.tensor_batches import Batches

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
