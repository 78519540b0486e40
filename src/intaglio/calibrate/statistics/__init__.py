"""Statistics: run the float network on data and keep each value's extremes, histogram and moving average."""

from intaglio.calibrate.statistics.observer import observe
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.calibrate.statistics.statistics import Statistics

__all__ = ["Needs", "Record", "Statistics", "observe"]
