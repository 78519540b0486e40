"""Sample networks: small trained networks with data, all of which may be passed on.

`examples/train_samples.py` trained the networks. They and the digits are stored in the package; the other data are
drawn from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import numpy as np
import numpy.typing as npt

from intaglio.zoo.digit_images import digits_data

FILES = Path(__file__).parent / "files"


@dataclass(frozen=True)
class SampleNetwork:
    """One sample.

    Args:
        summary: the network and its data, in one line.
        data: writes `calib.toml` and `test.toml` with the data that they name, `inputs.npy` with a few inputs, and one
            sample as a raw file, as a device reads it.
        origin: where the data come from.
    """

    summary: str
    data: Callable[[Path], None]
    origin: str


def write_sample(name: str, folder: Path) -> Path:
    """Write a network of `SAMPLES` with its data.

    Args:
        name: name of the sample.
        folder: an existing folder.
    Returns:
        The network's file.
    """
    sample = SAMPLES[name]
    network = folder / f"{name}.onnx"
    copyfile(FILES / network.name, network)
    sample.data(folder)
    (folder / "README.txt").write_text(
        f"{sample.summary}.\n\n{sample.origin}\n\nIn this folder:\n\n"
        f"    intaglio quantize {name}.onnx --data calib.toml --eval test.toml -o out\n",
        encoding="utf-8",
    )
    return network


def _write_digits(folder: Path) -> None:
    data = digits_data()
    _write_arrays(folder, "calib", *data.calib)
    _write_arrays(folder, "test", *data.test)
    np.save(folder / "inputs.npy", data.test[0][:16])
    np.savetxt(folder / "digit.csv", data.test[0][0, 0], fmt="%g", delimiter=",")


def _write_arrays(folder: Path, part: str, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> None:
    np.savez_compressed(folder / f"{part}.npz", x=x, y=y)
    (folder / f"{part}.toml").write_text(f'path = "{part}.npz"\n', encoding="utf-8")


SAMPLES = {
    "digits": SampleNetwork(
        "A small CNN that reads handwritten digits of 8 x 8 pixels, with 128 calibration and 360 test images",
        _write_digits,
        "Data: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,\n"
        "doi:10.24432/C50P49, CC BY 4.0. Pixels are scaled from 0..16 to 0..1. digit.csv is the first\ntest image.",
    ),
}
"""Name -> sample."""
