"""Mel-frequency cepstral coefficients of a sound, as keyword spotting uses them.

Source: Davis and Mermelstein 1980, doi:10.1109/TASSP.1980.1163420.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE = 16000
WINDOW, STRIDE, FFT = 480, 320, 512
"""Samples of a frame (30 ms), from one frame to the next (20 ms), and of the Fourier transform."""
BANDS, COEFFICIENTS = 40, 10
LOWEST, HIGHEST = 20.0, 4000.0
"""Edges of the mel bands in Hz."""
FLOOR = 1e-6
"""Added to the energy of each band before the logarithm."""


def mfcc(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Compute the coefficients of every frame.

        power = |rfft(hann * frame)|**2;   y = dct(log(bands @ power + FLOOR))

    Args:
        sound: samples in -1..1 at 16 kHz, (n,).
    Returns:
        (1 + (n - 480) // 320, 10); dct is orthonormal, of type II.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(sound, np.float64), WINDOW)[::STRIDE]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * hann, FFT)) ** 2
    energy = np.log(power @ mel_bands().T + FLOOR)
    k, n = np.arange(COEFFICIENTS)[:, None], np.arange(BANDS)
    dct = np.cos(np.pi * k * (2 * n + 1) / (2 * BANDS)) * np.where(k == 0, np.sqrt(1 / BANDS), np.sqrt(2 / BANDS))
    return (energy @ dct.T).astype(np.float32)


def mel_bands() -> npt.NDArray[np.float64]:
    """Return the weights of each band, (40, 257): triangles evenly spaced in mel = 1127 ln(1 + Hz / 700)."""
    low, high = (1127 * np.log1p(hz / 700) for hz in (LOWEST, HIGHEST))
    corners = np.linspace(low, high, BANDS + 2)
    mel = 1127 * np.log1p(np.arange(FFT // 2 + 1) * RATE / FFT / 700)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    y: npt.NDArray[np.float64] = np.clip(
        np.minimum((mel - left) / (middle - left), (right - mel) / (right - middle)), 0, None
    )
    return y
