"""Ranges from data: observers, streaming statistics, calibrators, and the parameters that follow from them."""

from intaglio.calibrate.calibration import Calibration, calibrate
from intaglio.calibrate.calibrator_trial import Candidate
from intaglio.calibrate.calibrators import CALIBRATORS, Calibrator, parse_calibrator
from intaglio.calibrate.choose_params import choose
from intaglio.calibrate.observer import observe
from intaglio.calibrate.record import Needs
from intaglio.calibrate.statistics import Statistics
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
