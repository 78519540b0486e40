"""Images of handwritten digits: 1,797 of 8 x 8 pixels, stored in the package.

Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
doi:10.24432/C50P49, its test set, CC BY 4.0; the same images as `sklearn.datasets.load_digits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

FILE = Path(__file__).parent / "files" / "digits.npz"
HIGHEST = 16
"""The pixels are 0..16."""
TEST, CALIB = 360, 128  # of 1,797 images; the rest is for training


@dataclass(frozen=True)
class Digits:
    """Three disjoint parts, each (x, y): x float32 (n, 1, 8, 8) in 0..1, y int64 (n,) in 0..9."""

    train: tuple[Images, Labels]
    calib: tuple[Images, Labels]
    test: tuple[Images, Labels]


def digits_data() -> Digits:
    """Return the images, always split in the same way: 1,309 train, 128 calib, 360 test."""
    with np.load(FILE, allow_pickle=False) as stored:
        images = (stored["x"][:, None] / HIGHEST).astype(np.float32)
        labels = stored["y"].astype(np.int64)
    test, calib, train = np.split(np.random.default_rng(0).permutation(len(labels)), [TEST, TEST + CALIB])
    return Digits(*((images[part], labels[part]) for part in (train, calib, test)))
