"""Folders of WAV files, prepared as the section [sound] of a descriptor says."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from intaglio.data import match, open_data
from intaglio.data.cepstrum import Cepstrum
from intaglio.data.sounds import read_wav
from intaglio.errors import DataError

TOML = 'path = "words"\n[sound]\nrate = 8000\nsamples = 4000\nwindow = 256\nstride = 128\nfft = 256\nhigh = 3500.0\n'


def save(path: Path, x: np.ndarray, rate: int = 8000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(x.astype("<i2").tobytes())
    return path


@pytest.fixture
def words(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Class folders `no` (two sounds) and `yes` (one), and a descriptor."""
    for name in ("no/a.wav", "no/b.WAV", "yes/a.wav"):
        save(tmp_path / "words" / name, rng.integers(-9999, 9999, 4000))
    (tmp_path / "words.toml").write_text(TOML)
    return tmp_path / "words.toml"


def test_class_folders(words: Path) -> None:
    data = open_data(words)
    assert (len(data), data.class_names) == (3, ("no", "yes"))
    ((x, y),) = data.batches(3)
    assert x.shape == (3, 30, 10)
    assert x.dtype == np.float32
    assert y is not None
    assert y.tolist() == [0, 1, 0]
    c = Cepstrum(8000, 4000, 256, 128, 256, 40, 20.0, 3500.0)
    np.testing.assert_array_equal(x[1], c.features(read_wav(words.parent / "words" / "yes" / "a.wav", 8000)))


@pytest.mark.parametrize("shape", [(1, 30, 10), (1, 1, 30, 10), (1, 30, 10, 1)])
def test_the_shape_is_that_of_the_model(words: Path, shape: tuple[int, ...]) -> None:
    ((x, _),) = match(open_data(words), shape).batches(3)
    assert x.shape == (3, *shape[1:])


def test_a_model_of_another_shape_is_refused(words: Path) -> None:
    with pytest.raises(DataError, match=r"\(10, 30\)"):
        match(open_data(words), (1, 10, 30))


BAD_FILES = {
    "rate": (16000, 1, 8044, "expected 1 channel with 16 bits per sample at 8000 Hz, got 1 with 16 bits at 16000 Hz"),
    "stereo": (8000, 2, 8044, "expected 1 channel with 16 bits per sample at 8000 Hz, got 2 with 16 bits at 8000 Hz"),
    "truncated": (8000, 1, 7944, "expected 8000 bytes of sound, got 7900; the file is truncated"),
    "no header": (8000, 1, 14, "expected a WAV file, got one that cannot be read"),
    "empty": (8000, 1, 0, "expected a WAV file, got one that cannot be read"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, words: Path) -> None:
    rate, channels, size, message = BAD_FILES[case]
    path = save(words.parent / "words" / "no" / "a.wav", np.zeros(4000), rate, channels)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError) as caught:
        next(open_data(words).batches())
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_folder_alone_does_not_say_how_sounds_are_prepared(words: Path) -> None:
    with pytest.raises(DataError, match=r"words: holds .wav files. Name it as path in a .toml descriptor with the sec"):
        open_data(words.parent / "words")


BAD_TEXTS = {
    "unknown": (TOML + "color = 3\n", "sound.color: unknown key; known are bands, coefficients, fft"),
    "fft": (TOML.replace("fft = 256", "fft = 300"), "sound.fft: expected a power of two from 2 to 32768, got 300"),
    "window": (
        TOML.replace("window = 256", "window = 257"),
        "sound.window: expected at most fft, 256 samples, got 257",
    ),
    "samples": (
        TOML.replace("samples = 4000", "samples = 40"),
        "sound.samples: expected at least the window, 256 samp",
    ),
    "high": (TOML.replace("3500.0", "4001.0"), "sound.low, high: expected 0 <= low < high <= rate / 2 = 4000 Hz, got"),
    "bands": (TOML + "bands = 9\n", "sound.coefficients: expected at most bands, 9, got 10"),
    "power": (TOML + "power = 3\n", "sound.power: expected 1 or 2"),
    "both": (TOML + "[image]\n", "expected [image] or [sound], got both. Leave one out."),
    "array": (TOML.replace("words", "x.npy"), "[sound] prepares .wav files, but path names no folder"),
    "none": (TOML.replace("words", "empty"), "no samples. Expected class folders with .wav files, or .wav files."),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_descriptors(case: str, words: Path) -> None:
    text, message = BAD_TEXTS[case]
    np.save(words.parent / "x.npy", np.zeros((2, 30, 10), np.float32))
    (words.parent / "empty").mkdir()
    words.write_text(text)
    with pytest.raises(DataError) as caught:
        open_data(words)
    assert message in str(caught.value)
