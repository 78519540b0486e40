"""Calibration: find the parameters of every value of a Plan, from data or from the network alone.

Four folders, each imported only by those after it and by the files here: `statistics` of the data, `calibrators` that
make ranges of them, `parameters` that follow from ranges, and `data_free`, which predicts statistics where there are no
data. `calibration` and `no_data` are the two ways through them; `automatic` chooses a calibrator by trial.
"""

import sys

from intaglio.calibrate.calibration import Calibration, calibrate
from intaglio.calibrate.calibrator_trial import Candidate
from intaglio.calibrate.calibrators.calibrator import Calibrator
from intaglio.calibrate.calibrators.calibrator_registry import CALIBRATORS, parse_calibrator
from intaglio.calibrate.data_free import noise, synthesize
from intaglio.calibrate.data_free.noise import Noise
from intaglio.calibrate.data_free.prediction import predict
from intaglio.calibrate.data_free.synthesize import SynthesisSettings, Synthesized
from intaglio.calibrate.no_data import NoData, calibrate_without_data
from intaglio.calibrate.parameters.choose_params import choose
from intaglio.calibrate.statistics.observer import observe
from intaglio.calibrate.statistics.record import Needs
from intaglio.calibrate.statistics.statistics import Statistics
from intaglio.simulate.tensor_batches import Batches

__all__ = [
    "CALIBRATORS",
    "Batches",
    "Calibration",
    "Calibrator",
    "Candidate",
    "Needs",
    "NoData",
    "Noise",
    "Statistics",
    "SynthesisSettings",
    "Synthesized",
    "calibrate",
    "calibrate_without_data",
    "choose",
    "observe",
    "parse_calibrator",
    "predict",
]

for _module in (noise, synthesize):  # scripts import these two by the names that they had before the four folders
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
