"""The training loop behind `intaglio train`: shuffled epochs, augmentation, checkpoints, several processes."""

from intaglio.train.loop.curve import Point
from intaglio.train.loop.keeping import Keeping, TrainResult
from intaglio.train.loop.run import train
from intaglio.train.loop.settings import TrainSettings

__all__ = ["Keeping", "Point", "TrainResult", "TrainSettings", "train"]
