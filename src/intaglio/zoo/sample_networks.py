"""Sample networks: small trained networks with data, all of which may be passed on.

`examples/train_samples.py` has their trainings. They and the digits are stored in the package; the other data are
drawn from fixed seeds.
"""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt

from intaglio.zoo.digit_images import digits_data
from intaglio.zoo.drawn_pictures import MEAN, SHAPES, STD, drawn_pictures, picture_inputs
from intaglio.zoo.synthetic_words import RATE, WORDS, Sounds, synthetic_words, word_features

Samples = npt.NDArray[Any]

FILES = Path(__file__).parent / "files"
PICTURES = {"calib": 200, "test": 1000}
SOUNDS = {"calib": 100, "test": 400}
README_MARK = b"In this folder:\n\n    intaglio quantize "
"""Text by which README.txt of a sample is recognized."""
INPUTS = 16
"""Number of samples in `inputs.npy`."""


@dataclass(frozen=True)
class SampleNetwork:
    """One sample.

    Args:
        summary: the network and its data, in one line.
        origin: where the data come from, and what the raw files are.
        data: writes `calib.toml` and `test.toml` with the data that they name, `inputs.npy` with a few inputs of the
            network, and raw files, as a device reads them.
    """

    summary: str
    origin: str
    data: Callable[[Path], None]


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
        f"{sample.summary}.\n\n{sample.origin}\n\n{README_MARK.decode()}"
        f"{name}.onnx --data calib.toml --eval test.toml -o out\n",
        encoding="utf-8",
    )
    return network


def _write_digits(folder: Path) -> None:
    data = digits_data()
    _write_arrays(folder, "calib", *data.calib)
    _write_arrays(folder, "test", *data.test)
    np.save(folder / "inputs.npy", data.test[0][:INPUTS])
    np.savetxt(folder / "digit.csv", data.test[0][0, 0], fmt="%g", delimiter=",")
    (folder / "labels.txt").write_text("".join(f"digit {number}\n" for number in range(10)), encoding="utf-8")


def _write_resnet8(folder: Path) -> None:
    from PIL import Image  # not part of a core install

    for part, count in PICTURES.items():
        pictures, labels = drawn_pictures(part, count)
        for file, picture in _class_files(folder / part, labels, tuple(SHAPES), ".png", pictures):
            Image.fromarray(picture).save(file)
        (folder / f"{part}.toml").write_text(
            f'path = "{part}"\n\n[image]\nmean = {[MEAN] * 3}\nstd = {[STD] * 3}\nlayout = "NCHW"\n', encoding="utf-8"
        )
    np.save(folder / "inputs.npy", picture_inputs(pictures[:INPUTS]))
    height, width, _ = pictures[0].shape
    (folder / "picture.ppm").write_bytes(b"P6\n%d %d\n255\n" % (width, height) + pictures[0].tobytes())


def _write_keyword(folder: Path) -> None:
    for part, count in SOUNDS.items():
        sounds, labels = synthetic_words(part, count)
        for file, sound in _class_files(folder / part, labels, tuple(WORDS), ".wav", sounds):
            _write_wav(file, sound)
        (folder / f"{part}.toml").write_text(f'path = "{part}"\n\n[sound]\n', encoding="utf-8")
    np.save(folder / "inputs.npy", word_features(sounds[:INPUTS]))
    _write_wav(folder / "sound.wav", sounds[0])


def _write_arrays(folder: Path, part: str, x: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> None:
    np.savez_compressed(folder / f"{part}.npz", x=x, y=y)
    (folder / f"{part}.toml").write_text(f'path = "{part}.npz"\nclasses = "labels.txt"\n', encoding="utf-8")


def _class_files(
    folder: Path, labels: npt.NDArray[np.int64], names: Sequence[str], suffix: str, samples: Samples
) -> Iterator[tuple[Path, Samples]]:
    """Yield the file for each sample, in one folder for each class."""
    for name in names:
        (folder / name).mkdir(parents=True)
    for number, (sample, label) in enumerate(zip(samples, labels, strict=True)):
        yield folder / names[label] / f"{number:04}{suffix}", sample


def _write_wav(path: Path, sound: Sounds) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())


SAMPLES = {
    "digits": SampleNetwork(
        "A small CNN that reads handwritten digits of 8 x 8 pixels, with 128 calibration and 360 test images",
        "Data: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,\n"
        "doi:10.24432/C50P49, CC BY 4.0. Pixels are scaled from 0..16 to 0..1. digit.csv is the first test image.",
        _write_digits,
    ),
    "keyword": SampleNetwork(
        "DS-CNN that recognizes ten spoken words, with 100 calibration and 400 test sounds",
        "Data: synthesized from a seed by intaglio.zoo.synthetic_words, Apache-2.0. The network's inputs are 49 x 10\n"
        "mel-frequency cepstral coefficients. sound.wav is the first test sound.",
        _write_keyword,
    ),
    "resnet8": SampleNetwork(
        "ResNet-8 that recognizes ten drawn shapes, with 200 calibration and 1000 test pictures of 32 x 32 pixels",
        "Data: drawn from a seed by intaglio.zoo.drawn_pictures, Apache-2.0. picture.ppm is the first test picture.",
        _write_resnet8,
    ),
}
"""Name -> sample."""
