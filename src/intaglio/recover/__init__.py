"""Accuracy recovery without labels or training; each algorithm is measured and reverted if it makes outputs worse."""

from intaglio.recover.absorption import absorb_high_biases
from intaglio.recover.bias_correction import correct_biases
from intaglio.recover.dead_channels import Freed, free_constant_channels
from intaglio.recover.equalization import Equalized, equalize
from intaglio.recover.reconstruction import reconstruct_blocks
from intaglio.recover.recovery import Recovery
from intaglio.recover.weight_clamp import clamp_weights

__all__ = [
    "Equalized",
    "Freed",
    "Recovery",
    "absorb_high_biases",
    "clamp_weights",
    "correct_biases",
    "equalize",
    "free_constant_channels",
    "reconstruct_blocks",
]
