"""Ten spoken words, synthesized from a seed: resonances of a vocal tract over pulses and noise, with noise behind them.

Source: Klatt 1980, doi:10.1121/1.383940 (the idea; this synthesizer is far simpler). Formants of vowels: Peterson and
Barney 1952, doi:10.1121/1.1906875.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intaglio.data.cepstrum import Cepstrum

Sounds = npt.NDArray[np.int16]
Labels = npt.NDArray[np.int64]
Track = npt.NDArray[np.float64]

CEPSTRUM = Cepstrum()
"""The network's inputs: 49 frames of 10 coefficients."""
RATE = CEPSTRUM.rate
SEEDS = {"calib": 1, "test": 2, "train": 3}
STEP = 80  # samples from one set of parameters to the next (5 ms)
NOISE = -9.0, 9.0
"""Least and greatest ratio of the word to the noise behind it, in dB."""


@dataclass(frozen=True)
class Phone:
    """Part of a word.

    Args:
        formants: resonances in Hz.
        voice: amplitude of the pulses of the voice.
        noise: amplitude of the noise.
        centre, width: of the noise's band in Hz.
        ms: duration.
    """

    formants: tuple[float, float, float] = (500, 1500, 2500)
    voice: float = 0.0
    noise: float = 0.0
    centre: float = 3000
    width: float = 1500
    ms: float = 90


PHONES = {
    "a": Phone((730, 1090, 2440), 1.0, ms=150),
    "e": Phone((530, 1840, 2480), 1.0, ms=120),
    "i": Phone((270, 2290, 3010), 1.0, ms=110),
    "o": Phone((570, 840, 2410), 1.0, ms=150),
    "u": Phone((300, 870, 2240), 0.8, ms=110),
    "l": Phone((360, 1300, 2700), 0.6, ms=70),
    "n": Phone((250, 1600, 2600), 0.4, ms=90),
    "r": Phone((330, 1060, 1380), 0.6, ms=70),
    "f": Phone(noise=0.15, centre=5000, width=2500, ms=110),
    "s": Phone(noise=0.4, centre=5500, width=1200, ms=130),
    "g": Phone((300, 1600, 2300), 0.3, 0.3, 2000, 700, ms=35),
    "d": Phone((300, 1700, 2600), 0.3, 0.3, 3500, 1000, ms=30),
    "p": Phone(noise=0.3, centre=900, width=600, ms=25),
    "t": Phone(noise=0.5, centre=4200, width=1200, ms=30),
    ".": Phone(ms=60),  # the closure before p and t
}
WORDS = {
    "down": "daun", "go": "gou", "left": "lef.t", "no": "nou", "off": "of",
    "on": "on", "right": "rai.t", "stop": "s.to.p", "up": "a.p", "yes": "ies",
}  # fmt: skip
"""Class -> its phones."""


def synthetic_words(part: str, count: int) -> tuple[Sounds, Labels]:
    """Synthesize words of all classes in turn.

    Args:
        part: "calib", "test" or "train"; each has a seed of its own.
        count: number of sounds.
    Returns:
        Sounds of one second, int16 (count, 16000), and classes, the places in `WORDS`.
    """
    rng = np.random.default_rng(SEEDS[part])
    labels = np.arange(count, dtype=np.int64) % len(WORDS)
    spelled = list(WORDS.values())
    return np.stack([_word(rng, spelled[label]) for label in labels]), labels


def word_features(sounds: Sounds) -> npt.NDArray[np.float32]:
    """Return the network's inputs, (count, 1, 49, 10)."""
    return np.stack([CEPSTRUM.features(sound)[None] for sound in sounds])


def _word(rng: np.random.Generator, phones: str) -> Sounds:
    """Speak one word with a voice, speed, place and noise of its own."""
    tract, speed, pitch = rng.uniform(0.85, 1.2), rng.uniform(0.8, 1.25), rng.uniform(90, 240)
    frames = RATE // STEP
    tracks = np.zeros((frames, 7))
    tracks[:, :3] = PHONES[phones[0]].formants
    tracks[:, 5:] = 3000, 1500
    lengths = [max(3, round(PHONES[p].ms * speed * rng.uniform(0.6, 1.5) * RATE / STEP / 1000)) for p in phones]
    at = int(rng.uniform(5, max(6, frames - sum(lengths) - 5)))
    for name, length in zip(phones, lengths, strict=True):
        phone = PHONES[name]
        formants = np.array(phone.formants) * rng.uniform(0.85, 1.15, 3)
        tracks[at : at + length] = *formants, phone.voice, phone.noise, phone.centre, phone.width
        at += length
        tracks[at:, :3] = formants
    tracks = _smooth(tracks, 7)
    voiced = _voice(
        pitch * (1 + rng.uniform(-0.2, 0.2) * np.linspace(-1, 1, frames)), tracks[:, :3] * tract, tracks[:, 3]
    )
    hissed = _hiss(rng, tracks[:, 4], tracks[:, 5], tracks[:, 6])
    word = voiced / np.sqrt(np.mean(voiced**2)) + 4 * hissed
    loud = np.sqrt(np.mean(word**2))
    behind = rng.normal(size=RATE) * loud * 10 ** (-rng.uniform(*NOISE) / 20)
    sound = (word + behind) / loud * rng.uniform(0.03, 0.12)
    y: Sounds = np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    return y


def _smooth(tracks: Track, frames: int) -> Track:
    """Average over neighbouring frames: what a tongue needs to move."""
    padded = np.pad(tracks, ((frames // 2, frames // 2), (0, 0)), mode="edge")
    y: Track = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0).mean(-1)
    return y


def _voice(pitch: Track, formants: Track, amplitude: Track) -> Track:
    """Sum the harmonics of a voice, each as loud as the resonances near its frequency make it."""
    turn = np.exp(2j * np.pi * np.cumsum(np.repeat(pitch, STEP)) / RATE)
    wave, total = np.ones(RATE, complex), np.zeros(RATE)
    for harmonic in range(1, int(4000 / pitch.min())):
        wave = wave * turn
        hz = harmonic * pitch[:, None]
        gain = (1 / (1 + ((hz - formants) / (60 + formants / 20)) ** 2)).sum(1) * (hz[:, 0] < 4000) / np.sqrt(harmonic)
        total += wave.imag * np.repeat(gain * amplitude, STEP)
    return total


def _hiss(
    rng: np.random.Generator,
    amplitude: Track,
    centre: Track,
    width: Track,
) -> Track:
    """Make noise in a band that moves: each block of 20 ms is filtered by itself."""
    block = 4 * STEP
    spectrum = np.fft.rfft(rng.normal(size=(RATE // block, block)))
    hz = np.fft.rfftfreq(block, 1 / RATE)
    band = np.exp(-0.5 * ((hz - centre[::4, None]) / width[::4, None]) ** 2)
    return np.fft.irfft(spectrum * band, block).reshape(-1) * np.repeat(amplitude, STEP)
