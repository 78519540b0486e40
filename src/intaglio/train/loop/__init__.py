"""Training loop of `intaglio train`: shuffled epochs, augmentation, checkpoints, several processes."""

from intaglio.evaluation.curve import Point
from intaglio.train.loop.run import train
from intaglio.train.loop.run_options import RunOptions, TrainResult
from intaglio.train.loop.settings import TrainSettings

__all__ = ["Point", "RunOptions", "TrainResult", "TrainSettings", "train"]
