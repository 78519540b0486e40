"""Speech in noise for the figures of streaming networks."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Sound = NDArray[np.float32]


def read_folder(folder: Path) -> dict[str, Sound]:
    """Read the WAV files of a folder that have one channel of 16 bits at 16 kHz, by name, from -1 to 1."""
    found = {}
    for path in sorted(folder.glob("*.wav")):
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2):
                codes = np.frombuffer(file.readframes(file.getnframes()), "<i2")
                found[path.name] = codes.astype(np.float32) / 32768
    return found


def pink_noise(rng: np.random.Generator, samples: int) -> Sound:
    """Noise whose power falls with frequency, as that of rooms and streets does."""
    spectrum = rng.normal(size=(2, samples // 2 + 1)).T @ np.array([1, 1j])
    frequency = np.maximum(np.arange(len(spectrum)), samples * 50 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(frequency), samples)
    return (noise / noise.std()).astype(np.float32)


def mixed(speech: Sound, noise: Sound, ratio: float) -> Sound:
    """Add noise at a ratio of speech to noise in dB."""
    factor = np.sqrt((speech**2).mean() / (noise**2).mean()) * 10 ** (-ratio / 20)
    return (speech + factor * noise).astype(np.float32)


def si_sdr(estimate: Sound, clean: Sound) -> float:
    """Scale-invariant ratio of signal to distortion in dB.

    Source: Le Roux et al. 2019, arXiv:1811.02508, eq. (5).
    """
    estimate, clean = estimate.astype(np.float64), clean.astype(np.float64)
    projected = (estimate @ clean) / (clean @ clean) * clean
    return float(10 * np.log10((projected**2).sum() / ((projected - estimate) ** 2).sum()))
