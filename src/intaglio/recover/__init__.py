"""Accuracy won back without labels or training; each algorithm is measured, and reverted when it does harm."""

from intaglio.recover.bias_correction import Recovery, correct_biases
from intaglio.recover.trial import ArraySamples, Samples, Trial

__all__ = ["ArraySamples", "Recovery", "Samples", "Trial", "correct_biases"]
