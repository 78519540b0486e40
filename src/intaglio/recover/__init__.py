"""Accuracy won back without labels or training; each algorithm is measured, and reverted when it does harm."""

from intaglio.recover.bias_correction import Recovery, correct_biases
from intaglio.recover.channel_ranges import settle_channel_ranges
from intaglio.recover.dead_channels import Freed, free_constant_channels
from intaglio.recover.equalization import Equalized, equalize
from intaglio.recover.trial import ArraySamples, Samples, Trial

__all__ = [
    "ArraySamples",
    "Equalized",
    "Freed",
    "Recovery",
    "Samples",
    "Trial",
    "correct_biases",
    "equalize",
    "free_constant_channels",
    "settle_channel_ranges",
]
